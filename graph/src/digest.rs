//! What of an operation goes into a key.
//!
//! Every struct is destructured in full: a new field does not compile until somebody has decided whether it
//! belongs to the key. `docs/cache-keys.md` lists each field with the decision.

use image::{Digest, Hasher};

use crate::print::describe_mount;
use crate::{
    CacheBase, CacheSharing, Change, ContextSource, Copy, CopyRules, Device, File, FileAction, GitSource,
    HttpSource, ImageSource, Kept, KeptMount, MakeDirectory, MakeFile, MakeSymlink, Mount, MountSource,
    Network, Op, Remove, Run, SecretEnv, Security, Surroundings, Ulimit, redacted,
};

/// The digest of an operation alone, without its inputs: equal operations do the same to equal inputs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OpDigest(pub Digest);

impl Op {
    /// Everything that can change what the operation produces, and nothing else.
    pub fn digest(&self) -> OpDigest {
        OpDigest(match self {
            Self::Scratch => Hasher::new("scratch/v1").finish(),
            Self::Image(source) => source.digest(),
            Self::Context(source) => source.digest(),
            Self::Http(source) => source.digest(),
            Self::Git(source) => source.digest(),
            Self::Run(run) => run.digest(),
            Self::File(file) => file.digest(),
        })
    }

    /// The named inputs of [`Op::digest`], for explaining why a key changed. Values are what people wrote.
    pub fn ingredients(&self) -> Vec<(String, String)> {
        match self {
            Self::Scratch => Vec::new(),
            Self::Image(source) => vec![("image".to_owned(), source.reference.to_string())],
            Self::Context(source) => vec![("context".to_owned(), source.name.clone())],
            Self::Http(source) => vec![("url".to_owned(), redacted(&source.url))],
            Self::Git(source) => source.ingredients(),
            Self::Run(run) => run.ingredients(),
            Self::File(file) => file.ingredients(),
        }
    }
}

impl ImageSource {
    fn digest(&self) -> Digest {
        // The name is in no key: the identity of an image is that of its layers, which the worker knows.
        let Self { reference: _, platform } = self;
        Hasher::new("image/v1").field("platform", platform.to_string()).finish()
    }
}

impl ContextSource {
    fn digest(&self) -> Digest {
        // A context is never looked up by its name, only by the content of what is read from it.
        let Self { name } = self;
        Hasher::new("context/v1").field("name", name).finish()
    }
}

impl HttpSource {
    fn digest(&self) -> Digest {
        // The identity of the file is its content, wherever it is from.
        let Self { url: _, checksum: _, filename, mode, owner } = self;
        Hasher::new("http/v1")
            .list("filename", filename)
            .list("mode", mode.map(u32::to_le_bytes))
            .list("owner", owner.iter().flat_map(|(uid, gid)| [uid.to_le_bytes(), gid.to_le_bytes()]))
            .finish()
    }
}

impl GitSource {
    fn digest(&self) -> Digest {
        // The identity of the files is the commit, wherever it is from. A `.git` says where that was.
        let Self {
            remote,
            reference,
            checksum: _,
            subdirectory,
            keep_git_dir,
            submodules,
            fetch_by_commit: _,
            times,
        } = self;
        let kept = [remote, reference].into_iter().filter(|_| *keep_git_dir);
        Hasher::new("git/v1")
            .list("kept", kept)
            .field("subdirectory", subdirectory)
            .field("flags", [u8::from(*keep_git_dir), u8::from(*submodules)])
            .field("times", times.name())
            .finish()
    }

    fn ingredients(&self) -> Vec<(String, String)> {
        let mut named = vec![("repository".to_owned(), redacted(&self.remote))];
        named.push(("reference".to_owned(), self.reference.clone()));
        named.push(("subdirectory".to_owned(), self.subdirectory.clone()));
        named
    }
}

impl Run {
    fn digest(&self) -> Digest {
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

    fn ingredients(&self) -> Vec<(String, String)> {
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
    fn digest(&self) -> Digest {
        match self {
            Self::Root => Hasher::new("kept/v1").finish(),
            Self::Mount(mount) => mount.digest(),
        }
    }
}

impl KeptMount {
    fn digest(&self) -> Digest {
        let Self { root, target, path } = self;
        let hasher = Hasher::new("kept-mount/v1").field("root", root.to_le_bytes());
        hasher.field("target", target).field("path", path).finish()
    }
}

impl Device {
    fn digest(&self) -> Digest {
        let Self { name, required } = self;
        Hasher::new("device/v1").field("name", name).field("required", [u8::from(*required)]).finish()
    }
}

impl SecretEnv {
    fn digest(&self) -> Digest {
        let Self { name, id, required } = self;
        Hasher::new("secret-env/v1")
            .field("name", name)
            .field("id", id)
            .field("required", [u8::from(*required)])
            .finish()
    }
}

impl Surroundings {
    fn digest(&self) -> Digest {
        let Self { extra_hosts, shm_size_bytes, ulimits } = self;
        Hasher::new("surroundings/v1")
            .list("extra_hosts", extra_hosts.iter().flat_map(|(name, address)| [name, address]))
            .list("shm_size_bytes", shm_size_bytes.iter().map(|size| size.to_le_bytes()))
            .list("ulimits", ulimits.iter().map(Ulimit::written))
            .finish()
    }

    fn ingredients(&self) -> Vec<(String, String)> {
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
    fn digest(&self) -> Digest {
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
            MountSource::Cache { id, base, sharing, uid, gid, mode, read_only } => hasher
                .field("cache", id)
                .list("base", base.iter().map(|base| base.digest().0))
                .field("sharing", sharing.name())
                .list("uid", uid.iter().map(|uid| uid.to_le_bytes()))
                .list("gid", gid.iter().map(|gid| gid.to_le_bytes()))
                .list("mode", mode.iter().map(|mode| mode.to_le_bytes()))
                .field("read_only", [u8::from(*read_only)]),
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

impl CacheBase {
    fn digest(&self) -> Digest {
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

impl File {
    fn digest(&self) -> Digest {
        let Self { actions } = self;
        Hasher::new("file/v1").list("actions", actions.iter().map(|action| action.digest().0)).finish()
    }

    fn ingredients(&self) -> Vec<(String, String)> {
        self.actions.iter().map(FileAction::ingredient).collect()
    }
}

impl FileAction {
    fn digest(&self) -> Digest {
        match self {
            Self::Copy(copy) => copy.digest(),
            Self::MakeDirectory(directory) => directory.digest(),
            Self::MakeFile(file) => file.digest(),
            Self::MakeSymlink(link) => link.digest(),
            Self::Remove(remove) => remove.digest(),
            Self::Change(change) => change.digest(),
            Self::Expect(path) => Hasher::new("expect/v1").field("path", path).finish(),
        }
    }

    fn ingredient(&self) -> (String, String) {
        match self {
            Self::Copy(copy) => {
                ("copy".to_owned(), format!("{} -> {}", copy.sources.join(" "), copy.destination))
            }
            Self::MakeDirectory(directory) => ("directory".to_owned(), directory.path.clone()),
            Self::MakeFile(file) => {
                ("file".to_owned(), format!("{} {}", file.path, Digest::of(&file.content)))
            }
            Self::MakeSymlink(link) => ("symlink".to_owned(), format!("{} -> {}", link.path, link.target)),
            Self::Remove(remove) => ("removed".to_owned(), remove.path.clone()),
            Self::Change(_) => ("changes".to_owned(), "of an input".to_owned()),
            Self::Expect(path) => ("expected directory".to_owned(), path.clone()),
        }
    }
}

impl Copy {
    fn digest(&self) -> Digest {
        let Self { input, sources, destination, owner, mode, exclude, parents, link, unpack, rules } = self;
        // Directories on the way had no mode of `--chmod` in the first version, and a missing source of
        // `--parents` was no error.
        let hasher = match (*rules == CopyRules::default(), mode.is_some() || *parents) {
            (true, true) => Hasher::new("copy/v2"),
            (true, false) => Hasher::new("copy/v1"),
            // Instructions cannot say these.
            (false, _) => Hasher::new("copy/v3").field("rules", rules.digest().0),
        };
        hasher
            .field("input", input.to_le_bytes())
            .list("sources", sources)
            .field("destination", destination)
            .list("owner", owner)
            .list("mode", mode)
            .list("exclude", exclude)
            .field("flags", [u8::from(*parents), u8::from(*link), u8::from(*unpack)])
            .finish()
    }
}

impl CopyRules {
    fn digest(&self) -> Digest {
        let Self { keep_directory, keep_symlink, include, replace, must_match, mtime_ns } = self;
        let flags = [keep_directory, keep_symlink, replace, must_match];
        let hasher = Hasher::new("copy-rules/v1").list("include", include);
        at(hasher.field("flags", flags.map(|flag| u8::from(*flag))), *mtime_ns).finish()
    }
}

/// With the time that files get, if they get one.
fn at(hasher: Hasher, mtime_ns: Option<i64>) -> Hasher {
    match mtime_ns {
        Some(time) => hasher.field("mtime_ns", time.to_le_bytes()),
        None => hasher,
    }
}

impl MakeDirectory {
    fn digest(&self) -> Digest {
        let Self { path, mode, owner, mtime_ns } = self;
        let hasher = Hasher::new("mkdir/v1").field("path", path).field("mode", mode.to_le_bytes());
        at(hasher.list("owner", owner), *mtime_ns).finish()
    }
}

impl MakeFile {
    fn digest(&self) -> Digest {
        let Self { path, mode, owner, content, mtime_ns } = self;
        let hasher = Hasher::new("mkfile/v1").field("path", path).field("mode", mode.to_le_bytes());
        at(hasher.list("owner", owner).field("content", content), *mtime_ns).finish()
    }
}

impl MakeSymlink {
    fn digest(&self) -> Digest {
        let Self { path, target, owner, mtime_ns } = self;
        let hasher = Hasher::new("symlink/v1").field("path", path).field("target", target);
        at(hasher.list("owner", owner), *mtime_ns).finish()
    }
}

impl Remove {
    fn digest(&self) -> Digest {
        let Self { path, is_pattern, may_be_missing } = self;
        let flags = [u8::from(*is_pattern), u8::from(*may_be_missing)];
        Hasher::new("rm/v1").field("path", path).field("flags", flags).finish()
    }
}

impl Change {
    fn digest(&self) -> Digest {
        let Self { from, to } = self;
        Hasher::new("change/v1").field("from", from.to_le_bytes()).field("to", to.to_le_bytes()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::GitTimes;

    fn run() -> Run {
        Run {
            argv: vec!["/bin/sh".into(), "-c".into(), "make".into()],
            env: vec![("A".into(), "1".into())],
            cwd: "/".into(),
            ..Run::default()
        }
    }

    /// Applies each change to a fresh copy and returns the digests, the unchanged one first.
    fn digests<T: Clone>(base: &T, op: impl Fn(T) -> Op, changes: &[fn(&mut T)]) -> Vec<OpDigest> {
        let mut digests = vec![op(base.clone()).digest()];
        for change in changes {
            let mut changed = base.clone();
            change(&mut changed);
            digests.push(op(changed).digest());
        }
        digests
    }

    fn assert_all_different(mut digests: Vec<OpDigest>) {
        let count = digests.len();
        digests.sort();
        digests.dedup();
        assert_eq!(digests.len(), count);
    }

    fn ulimit(soft: Option<u64>, hard: Option<u64>) -> Ulimit {
        Ulimit { name: "core".into(), soft, hard }
    }

    fn kept(root: usize, target: &str, path: &str) -> Kept {
        Kept::Mount(Box::new(KeptMount { root, target: target.into(), path: path.into() }))
    }

    #[test]
    fn every_field_of_run_but_the_proxies_changes_the_digest() {
        assert_all_different(digests(
            &run(),
            Op::Run,
            &[
                |run| run.argv.push("x".into()),
                |run| run.env[0].1 = "2".into(),
                |run| run.env.push(("B".into(), String::new())),
                |run| run.cwd = "/app".into(),
                |run| run.user = "1".into(),
                |run| run.network = Network::None,
                |run| run.network = Network::Host,
                |run| run.security = Security::Insecure,
                |run| run.surroundings.extra_hosts.push(("a".into(), "10.0.0.1".into())),
                |run| run.surroundings.extra_hosts.push(("a".into(), "10.0.0.2".into())),
                |run| run.surroundings.shm_size_bytes = Some(1),
                |run| run.surroundings.ulimits.push(ulimit(Some(1), Some(2))),
                |run| run.surroundings.ulimits.push(ulimit(Some(1), None)),
                |run| run.surroundings.ulimits.push(ulimit(None, None)),
                |run| {
                    let source = MountSource::Tmpfs { size_bytes: None, read_only: false };
                    run.mounts.push(Mount { target: "/t".into(), source });
                },
                |run| run.mounts.push(secret_file(|_| ())),
                |run| run.secret_env.push(secret_env("A", "a", false)),
                |run| run.secret_env.push(secret_env("B", "a", false)),
                |run| run.secret_env.push(secret_env("A", "b", false)),
                |run| run.secret_env.push(secret_env("A", "a", true)),
                |run| run.exit_codes.push(0),
                |run| run.exit_codes.push(1),
                |run| run.read_only_root = true,
                |run| run.kept = kept(1, "/a", "/"),
                |run| run.kept = kept(2, "/a", "/"),
                |run| run.kept = kept(1, "/b", "/"),
                |run| run.kept = kept(1, "/a", "/c"),
                |run| run.hostname = Some("a".into()),
                |run| run.hostname = Some("b".into()),
                |run| run.devices.push(Device { name: "a".into(), required: false }),
                |run| run.devices.push(Device { name: "b".into(), required: false }),
                |run| run.devices.push(Device { name: "a".into(), required: true }),
            ],
        ));
        let mut proxied = run();
        proxied.proxy_env.push(("http_proxy".into(), "http://p".into()));
        assert_eq!(Op::Run(proxied).digest(), Op::Run(run()).digest());
        let told = Run { build_args: vec!["A".into()], ..run() };
        assert_eq!(Op::Run(told).digest(), Op::Run(run()).digest());
    }

    fn secret_env(name: &str, id: &str, required: bool) -> SecretEnv {
        SecretEnv { name: name.into(), id: id.into(), required }
    }

    type Changed<'a> = (&'a mut String, &'a mut (u32, u32), &'a mut u32, &'a mut bool);

    fn mount(source: MountSource) -> Mount {
        Mount { target: "/s".into(), source }
    }

    fn secret_file(change: impl Fn(Changed<'_>)) -> Mount {
        let (mut id, mut owner, mut mode, mut required) = ("s".to_owned(), (0, 0), 0o400, false);
        change((&mut id, &mut owner, &mut mode, &mut required));
        mount(MountSource::Secret { id, owner, mode, required })
    }

    fn agent(change: impl Fn(Changed<'_>)) -> Mount {
        let (mut id, mut owner, mut mode, mut required) = ("s".to_owned(), (0, 0), 0o400, false);
        change((&mut id, &mut owner, &mut mode, &mut required));
        mount(MountSource::Agent { id, owner, mode, required })
    }

    #[test]
    fn every_field_of_other_mounts_changes_the_digest() {
        let tmpfs = |size_bytes, read_only| mount(MountSource::Tmpfs { size_bytes, read_only });
        let bind =
            |input, path: &str, read_only| mount(MountSource::Input { input, path: path.into(), read_only });
        let base = |input, path: &str| Some(CacheBase { input, path: path.into() });
        let cache = |id: &str, base, sharing, owner: (Option<u32>, Option<u32>), mode, read_only| {
            let (uid, gid) = owner;
            mount(MountSource::Cache { id: id.into(), base, sharing, uid, gid, mode, read_only })
        };
        let (shared, locked) = (CacheSharing::Shared, CacheSharing::Locked);
        let nobody = (None, None);
        let digests = [
            tmpfs(None, false),
            tmpfs(Some(1), false),
            tmpfs(None, true),
            bind(1, "/", true),
            bind(2, "/", true),
            bind(1, "/a", true),
            bind(1, "/", false),
            cache("c", None, shared, nobody, None, false),
            cache("d", None, shared, nobody, None, false),
            cache("c", base(1, "/"), shared, nobody, None, false),
            cache("c", base(2, "/"), shared, nobody, None, false),
            cache("c", base(1, "/a"), shared, nobody, None, false),
            cache("c", None, locked, nobody, None, false),
            cache("c", None, shared, (Some(0), None), None, false),
            cache("c", None, shared, (None, Some(0)), None, false),
            cache("c", None, shared, nobody, Some(0o755), false),
            cache("c", None, shared, nobody, None, true),
        ]
        .map(|mount| OpDigest(mount.digest()));
        assert_all_different(digests.to_vec());
    }

    #[test]
    fn every_field_of_secrets_and_agents_changes_the_digest() {
        let digests = [
            agent(|_| ()),
            agent(|(id, ..)| id.push('t')),
            agent(|(_, owner, ..)| owner.0 = 1),
            agent(|(_, owner, ..)| owner.1 = 1),
            agent(|(_, _, mode, _)| *mode = 0o440),
            agent(|(.., required)| *required = true),
            secret_file(|_| ()),
            secret_file(|(id, ..)| id.push('t')),
            secret_file(|(_, owner, ..)| owner.0 = 1),
            secret_file(|(_, owner, ..)| owner.1 = 1),
            secret_file(|(_, _, mode, _)| *mode = 0o440),
            secret_file(|(.., required)| *required = true),
        ]
        .map(|mount| OpDigest(mount.digest()));
        assert_all_different(digests.to_vec());
    }

    #[test]
    fn a_file_is_the_same_wherever_it_is_from() {
        let http = HttpSource::new("https://host/a");
        assert_all_different(digests(
            &http,
            Op::Http,
            &[
                |http| http.filename = Some("a".into()),
                |http| http.mode = Some(0o644),
                |http| http.owner = Some((0, 0)),
                |http| http.owner = Some((0, 1)),
            ],
        ));
        let elsewhere = HttpSource { checksum: Some(Digest([1; 32])), ..HttpSource::new("https://other/b") };
        assert_eq!(Op::Http(elsewhere).digest(), Op::Http(http).digest());
    }

    #[test]
    fn a_commit_is_the_same_wherever_it_is_from_unless_its_git_directory_says_so() {
        let git = GitSource::new("https://host/a.git");
        assert_all_different(digests(
            &git,
            Op::Git,
            &[
                |git| git.subdirectory = "a".into(),
                |git| git.submodules = false,
                |git| git.times = GitTimes::Checkout,
                |git| git.keep_git_dir = true,
                |git| {
                    git.keep_git_dir = true;
                    git.remote = "https://other/a.git".into();
                },
                |git| {
                    git.keep_git_dir = true;
                    git.reference = "main".into();
                },
            ],
        ));
        let elsewhere = GitSource {
            reference: "main".into(),
            checksum: Some("abc".into()),
            fetch_by_commit: true,
            ..GitSource::new("git@other:b.git")
        };
        assert_eq!(Op::Git(elsewhere).digest(), Op::Git(git).digest());
    }

    #[test]
    fn every_field_of_copy_changes_the_digest() {
        let copy = Copy { sources: vec!["a".into()], destination: "/b".into(), ..Copy::default() };
        assert_all_different(digests(
            &copy,
            |copy| Op::File(File { actions: vec![FileAction::Copy(copy)] }),
            &[
                |copy| copy.rules.keep_directory = true,
                |copy| copy.rules.keep_symlink = true,
                |copy| copy.rules.replace = true,
                |copy| copy.rules.must_match = true,
                |copy| copy.rules.include.push("a".into()),
                |copy| copy.rules.mtime_ns = Some(0),
                |copy| copy.rules.mtime_ns = Some(1),
                |copy| copy.input = 1,
                |copy| copy.sources.push("c".into()),
                |copy| copy.destination = "/b/".into(),
                |copy| copy.owner = Some("1".into()),
                |copy| copy.mode = Some("644".into()),
                |copy| copy.exclude.push("x".into()),
                |copy| copy.parents = true,
                |copy| copy.link = true,
                |copy| copy.unpack = true,
            ],
        ));
    }

    #[test]
    fn every_field_of_made_files_changes_the_digest() {
        let directory = MakeDirectory { path: "/a".into(), mode: 0o755, owner: None, mtime_ns: None };
        let file = MakeFile { path: "/a".into(), mode: 0o644, owner: None, content: vec![], mtime_ns: None };
        let mut all = digests(
            &directory,
            |it| Op::File(File { actions: vec![FileAction::MakeDirectory(it)] }),
            &[|it| it.path.push('b'), |it| it.mode = 0o700, |it| it.owner = Some("1".into())],
        );
        all.extend(digests(
            &file,
            |it| Op::File(File { actions: vec![FileAction::MakeFile(it)] }),
            &[
                |it| it.path.push('b'),
                |it| it.mode = 0o600,
                |it| it.owner = Some("1".into()),
                |it| it.content.push(0),
            ],
        ));
        assert_all_different(all);
    }
}
