//! What is in the digest of a process.

use image::{Digest, Hasher};

use crate::print::describe_mount;
use crate::{
    CacheBase, CacheSharing, Device, Kept, KeptMount, Mount, MountSource, Network, Run, SecretEnv, Security,
    Surroundings, Ulimit,
};

impl Run {
    pub(super) fn digest(&self) -> Digest {
        let Self {
            argv,
            env,
            build_args: _,
            proxy_env: _,
            cwd,
            user,
            network,
            security,
            mounts,
            secret_env,
            devices,
            hostname,
            surroundings,
            exit_codes,
            read_only_root,
            kept,
        } = self;
        // Instructions cannot say these.
        let hasher = match (exit_codes.is_empty(), read_only_root, kept) {
            (true, false, Kept::Root) => Hasher::new("run/v1"),
            (_, read_only_root, kept) => Hasher::new("run/v2")
                .field("exit_codes", exit_codes)
                .field("read_only_root", [u8::from(*read_only_root)])
                .field("kept", kept.digest().0),
        };
        hasher
            .list("argv", argv)
            .list("env", env.iter().flat_map(|(name, value)| [name, value]))
            .field("cwd", cwd)
            .field("user", user)
            .field("network", network.name())
            .field("security", security.name())
            .list("mounts", mounts.iter().map(|mount| mount.digest().0))
            .list("secret_env", secret_env.iter().map(|secret| secret.digest().0))
            .list("devices", devices.iter().map(|device| device.digest().0))
            .list("hostname", hostname)
            .field("surroundings", surroundings.digest().0)
            .finish()
    }

    pub(super) fn ingredients(&self) -> Vec<(String, String)> {
        let mut named = vec![("command".to_owned(), self.argv.join(" "))];
        named.extend(self.env.iter().map(|(name, value)| {
            let instruction = if self.build_args.contains(name) { "ARG" } else { "ENV" };
            (format!("{instruction} {name}"), value.clone())
        }));
        named.push(("working directory".to_owned(), self.cwd.clone()));
        named.push(("user".to_owned(), self.user.clone()));
        named.push(("network".to_owned(), self.network.name().to_owned()));
        named.push(("security".to_owned(), self.security.name().to_owned()));
        named.extend(self.mounts.iter().map(|mount| ("mount".to_owned(), describe_mount(mount))));
        named.extend(
            self.secret_env
                .iter()
                .map(|secret| (format!("secret env {}", secret.name), format!("{secret:?}"))),
        );
        named.extend(self.devices.iter().map(|device| ("device".to_owned(), device.name.clone())));
        named.extend(self.hostname.iter().map(|name| ("host name".to_owned(), name.clone())));
        named.extend(self.surroundings.ingredients());
        named
    }
}

impl Kept {
    pub(super) fn digest(&self) -> Digest {
        match self {
            Self::Root => Hasher::new("kept/v1").finish(),
            Self::Mount(mount) => mount.digest(),
        }
    }
}

impl KeptMount {
    pub(super) fn digest(&self) -> Digest {
        let Self { root, target, path } = self;
        let hasher = Hasher::new("kept-mount/v1").field("root", root.to_le_bytes());
        hasher.field("target", target).field("path", path).finish()
    }
}

impl Device {
    pub(super) fn digest(&self) -> Digest {
        let Self { name, required } = self;
        Hasher::new("device/v1").field("name", name).field("required", [u8::from(*required)]).finish()
    }
}

impl SecretEnv {
    pub(super) fn digest(&self) -> Digest {
        let Self { name, id, required } = self;
        Hasher::new("secret-env/v1")
            .field("name", name)
            .field("id", id)
            .field("required", [u8::from(*required)])
            .finish()
    }
}

impl Surroundings {
    pub(super) fn digest(&self) -> Digest {
        let Self { extra_hosts, shm_size_bytes, ulimits } = self;
        Hasher::new("surroundings/v1")
            .list("extra_hosts", extra_hosts.iter().flat_map(|(name, address)| [name, address]))
            .list("shm_size_bytes", shm_size_bytes.iter().map(|size| size.to_le_bytes()))
            .list("ulimits", ulimits.iter().map(Ulimit::written))
            .finish()
    }

    pub(super) fn ingredients(&self) -> Vec<(String, String)> {
        let hosts = self.extra_hosts.iter().map(|(name, address)| (format!("host {name}"), address.clone()));
        let shm = self.shm_size_bytes.iter().map(|size| ("size of /dev/shm".to_owned(), size.to_string()));
        let ulimits = self.ulimits.iter().map(|limit| ("ulimit".to_owned(), limit.written()));
        hosts.chain(shm).chain(ulimits).collect()
    }
}

impl Network {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Host => "host",
            Self::None => "none",
        }
    }
}

impl Security {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Sandbox => "sandbox",
            Self::Insecure => "insecure",
        }
    }
}

impl Mount {
    pub(super) fn digest(&self) -> Digest {
        let Self { target, source } = self;
        let hasher = Hasher::new("mount/v1").field("target", target);
        match source {
            MountSource::Input { input, path, read_only } => hasher
                .field("input", input.to_le_bytes())
                .field("path", path)
                .field("read_only", [u8::from(*read_only)]),
            MountSource::Tmpfs { size_bytes, read_only } => hasher
                .list("tmpfs", size_bytes.iter().map(|size| size.to_le_bytes()))
                .field("read_only", [u8::from(*read_only)]),
            MountSource::Cache { id, base, path, sharing, uid, gid, mode, read_only } => {
                in_cache(hasher, path)
                    .field("cache", id)
                    .list("base", base.iter().map(|base| base.digest().0))
                    .field("sharing", sharing.name())
                    .list("uid", uid.iter().map(|uid| uid.to_le_bytes()))
                    .list("gid", gid.iter().map(|gid| gid.to_le_bytes()))
                    .list("mode", mode.iter().map(|mode| mode.to_le_bytes()))
                    .field("read_only", [u8::from(*read_only)])
            }
            MountSource::Secret { id, owner, mode, required } => hasher
                .field("secret", id)
                .field("uid", owner.0.to_le_bytes())
                .field("gid", owner.1.to_le_bytes())
                .field("mode", mode.to_le_bytes())
                .field("required", [u8::from(*required)]),
            MountSource::Agent { id, owner, mode, required } => hasher
                .field("agent", id)
                .field("uid", owner.0.to_le_bytes())
                .field("gid", owner.1.to_le_bytes())
                .field("mode", mode.to_le_bytes())
                .field("required", [u8::from(*required)]),
        }
        .finish()
    }
}

/// Part of a cache is told; the whole of one has the key that it had before there were parts.
fn in_cache(hasher: Hasher, path: &str) -> Hasher {
    if path == "/" { hasher } else { hasher.field("cache_path", path) }
}

impl CacheBase {
    pub(super) fn digest(&self) -> Digest {
        let Self { input, path } = self;
        Hasher::new("cache-base/v1").field("input", input.to_le_bytes()).field("path", path).finish()
    }
}

impl CacheSharing {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Shared => "shared",
            Self::Private => "private",
            Self::Locked => "locked",
        }
    }
}
