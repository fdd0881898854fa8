//! As an ordinary user, with and without subordinate ids.
//!
//! The user need not exist: it has its own `/etc/passwd`, `/etc/subuid` and `/etc/subgid` in a mount namespace,
//! so that the host stays as it is.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Command;

use crate::support::{Ran, World, binary};

const USER_ID: u32 = 54322;
/// Away from what a distribution hands out.
pub(crate) const SUBORDINATE: &str = "deckhand:1900000000:65536\n";

/// Runs a shell script as a user; `slipway` is the binary under test. Without root this is who we are anyway.
pub(crate) fn as_user(world: &World, ranges: &str, script: &str) -> Ran {
    let etc = world.path("etc");
    fs::create_dir_all(&etc).unwrap();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    fs::write(etc.join("passwd"), format!("{passwd}deckhand:x:{USER_ID}:{USER_ID}::/nonexistent:/bin/sh\n"))
        .unwrap();
    fs::write(etc.join("subuid"), ranges).unwrap();
    fs::write(etc.join("subgid"), ranges).unwrap();
    let home = world.path("home");
    fs::create_dir_all(home.join("context")).unwrap();
    fs::write(home.join("context/Dockerfile"), "FROM bb\nRUN id -u > /who\nCMD [\"cat\", \"/who\"]\n")
        .unwrap();
    fs::copy(world.path("rootfs.tar"), home.join("rootfs.tar")).unwrap();
    for path in [&home, &home.join("context"), &home.join("context/Dockerfile"), &home.join("rootfs.tar")] {
        chown(path, Some(USER_ID), Some(USER_ID)).unwrap();
    }
    // The user may have no way to the build directory.
    fs::create_dir_all(world.path("bin")).unwrap();
    // A process of an earlier command may still run it.
    let _ = fs::remove_file(world.path("bin/slipway"));
    fs::copy(binary(), world.path("bin/slipway")).unwrap();
    fs::set_permissions(world.path(""), fs::Permissions::from_mode(0o755)).unwrap();
    let enter = "for file in passwd subuid subgid; do mount --bind \"$1/$file\" /etc/$file || exit 99; done
        cd \"$2\" && exec setpriv --reuid $3 --regid $3 --clear-groups sh -c \"$4\"";
    let mut command = Command::new("unshare");
    command
        .args(["--mount", "sh", "-c", enter, "sh"])
        .arg(&etc)
        .arg(&home)
        .arg(USER_ID.to_string())
        .arg(script);
    command.env_clear().env("HOME", &home);
    command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", world.path("bin").display()));
    Ran::of(&command.output().unwrap())
}

/// Whether we may become others; where CI promises it, not being able to is a failure.
pub(crate) fn is_root() -> bool {
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    assert!(is_root || std::env::var_os("CI").is_none(), "CI promises root");
    is_root
}

pub(crate) fn user() -> Option<World> {
    let world = is_root().then(World::empty)?;
    world.write_rootfs("rootfs.tar");
    Some(world)
}

const SCRIPT: &str = "slipway import rootfs.tar bb > id && slipway build -q -t who context > id &&
    slipway run who && slipway images --format '{{.Repository}}' | sort && slipway info -f '{{.DockerRootDir}}'";

fn expected(world: &World) -> String {
    let store = world.path("home/.local/share/slipway");
    format!("0\nbb\nwho\n{}\n", store.display())
}

#[test]
fn a_step_of_a_user_is_connected_when_it_makes_a_socket() {
    let Some(world) = user() else { return };
    let script = "slipway import rootfs.tar bb > id &&
        for each in one two; do
            printf 'FROM bb\nRUN : %s; wc -l < /proc/net/route > /routes\n' $each > context/Dockerfile
            slipway build -q -t $each context > id && slipway run --network none $each cat /routes || exit
        done";
    let ran = as_user(&world, SUBORDINATE, script);
    let routes: Vec<u32> = ran.stdout.lines().map(|line| line.trim().parse().unwrap()).collect();
    // The first one of a store finds out which network there is; the second makes no socket.
    assert!(matches!(routes[..], [first, 1] if first > 1), "{ran}");
}

#[test]
fn a_user_with_subordinate_ids_builds_and_runs() {
    let Some(world) = user() else { return };
    let ran = as_user(&world, SUBORDINATE, SCRIPT);
    assert_eq!((ran.code, ran.stdout.clone()), (0, expected(&world)), "{ran}");
    let other = as_user(&world, SUBORDINATE, "slipway run -u sailor bb id -u");
    assert_eq!(other.stdout, "7\n", "{other}");
    let out = as_user(
        &world,
        SUBORDINATE,
        "slipway build -q -o out context > id && cat out/who && stat -c %u out/who",
    );
    assert_eq!(out.stdout, format!("0\n{USER_ID}\n"), "{out}");
    assert_nothing_of_root(&world.path("home"));
}

#[test]
fn a_user_with_a_single_id_builds_and_runs() {
    let Some(world) = user() else { return };
    let ran = as_user(&world, "", SCRIPT);
    assert_eq!((ran.code, ran.stdout.clone()), (0, expected(&world)), "{ran}");
}

/// Containers in the background, by processes each of which is in a user namespace of its own.
const CONTAINER_SCRIPT: &str = "slipway import rootfs.tar bb > id &&
    slipway run -d --name web bb sh -c 'trap \"exit 4\" TERM; echo ready; while true; do sleep 0.05; done' > id &&
    until slipway logs web | grep -q ready; do sleep 0.05; done &&
    slipway exec web touch /new && slipway diff web | grep -x 'A /new' > id && slipway commit web saved > id &&
    slipway run --rm saved ls /new > id && slipway export web | tar t | grep -x new > id && slipway exec web id -u && slipway ps --format '{{.Names}} {{.State}}' && slipway stop web && slipway wait web &&
    slipway start web && slipway rm -f web && slipway ps -aq && ls .local/share/slipway/containers";

#[test]
fn a_user_has_containers() {
    for ranges in [SUBORDINATE, ""] {
        let Some(world) = user() else { return };
        let ran = as_user(&world, ranges, CONTAINER_SCRIPT);
        assert_eq!(ran.stdout, "0\nweb running\nweb\n4\nweb\nweb\n", "{ran}");
    }
}

/// A secret belongs to whom the mount says, as far as there are ids.
const SECRET_SCRIPT: &str = "mkdir c && printf '%s\\n' 'FROM bb' \\
        'RUN --mount=type=secret,id=key cat /run/secrets/key | sed s/^k/K/ > /seen' \\
        'RUN --mount=type=secret,id=key,env=KEY echo ${#KEY} >> /seen' > c/Dockerfile &&
    printf k-e-y > key && slipway import rootfs.tar bb > id &&
    slipway build -q -t seen --secret id=key,src=key c > id && slipway run seen cat /seen";

#[test]
fn a_user_has_secrets() {
    for ranges in [SUBORDINATE, ""] {
        let Some(world) = user() else { return };
        let ran = as_user(&world, ranges, SECRET_SCRIPT);
        assert_eq!(ran.stdout, "K-e-y5\n", "{ran}");
    }
}

/// With an agent that runs, and with keys in a file.
const AGENT_SCRIPT: &str = "mkdir -p c/root && cp --parents /usr/bin/ssh-add c/root &&
    for library in $(ldd /usr/bin/ssh-add | grep -o '/[^ ]*'); do cp --parents $library c/root; done &&
    printf '%s\\n' 'FROM bb' 'COPY root/ /' 'RUN --mount=type=ssh,required ssh-add -l > /list' \\
        'RUN --mount=type=ssh,id=files ssh-add -l >> /list' > c/Dockerfile &&
    ssh-keygen -q -N '' -t ed25519 -f key && eval $(ssh-agent) > id && ssh-add -q key &&
    slipway import rootfs.tar bb > id && slipway build -q -t list --ssh default --ssh files=key c > id
    kill $SSH_AGENT_PID && slipway run list cat /list | wc -l";

#[test]
fn a_user_has_agents() {
    for ranges in [SUBORDINATE, ""] {
        let Some(world) = user() else { return };
        let ran = as_user(&world, ranges, AGENT_SCRIPT);
        assert_eq!(ran.stdout, "2\n", "{ran}");
    }
}

/// Root of a user namespace, with all that it may do there.
const INSECURE_SCRIPT: &str = "mkdir c && printf '%s\\n' 'FROM bb' \\
        'RUN --security=insecure busybox mount -t tmpfs none /tmp && busybox grep -c CapEff:.000001f /proc/self/status > /seen' \\
        > c/Dockerfile && slipway import rootfs.tar bb > id &&
    slipway build -q -t seen --allow security.insecure c > id && slipway run seen cat /seen";

#[test]
fn a_user_has_insecure_steps() {
    for ranges in [SUBORDINATE, ""] {
        let Some(world) = user() else { return };
        let ran = as_user(&world, ranges, INSECURE_SCRIPT);
        assert_eq!(ran.stdout, "1\n", "{ran}");
    }
}

#[test]
fn the_store_of_a_user_is_where_the_environment_says() {
    let Some(world) = user() else { return };
    let ran = as_user(&world, SUBORDINATE, "XDG_DATA_HOME=$HOME/data slipway info -f '{{.DockerRootDir}}'");
    assert_eq!(ran.stdout, format!("{}\n", world.path("home/data/slipway").display()), "{ran}");
    let ran = as_user(&world, SUBORDINATE, "unset HOME; slipway info");
    insta::assert_snapshot!(ran, @"
    exit code 1
    ---- stderr
    ERROR: neither HOME nor XDG_DATA_HOME says where your files are
    hint: name a directory for the store with `--root DIR`
    ");
}

fn assert_nothing_of_root(directory: &Path) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        assert_ne!(path.symlink_metadata().unwrap().uid(), 0, "{}", path.display());
    }
}

/// One of everything that could tell who has built it, where: owners, modes, links, times, names in the order of a directory.
const TELLTALE: &str = "FROM bb AS made\n\
    COPY --chown=7:8 files /files\n\
    RUN umask 027; cd /files; busybox mkdir -p new/deep; echo x > new/deep/file; busybox ln f1 hard; busybox ln -s f2 soft; \
    busybox chmod 4711 f3; busybox rm f4; for i in 9 3 7 1; do echo $i > \"n$i\"; done; busybox chown 9:9 f5\n\
    FROM bb\n\
    COPY --from=made /files /files\n\
    WORKDIR /work\n\
    RUN busybox touch here\n";

fn telltale(root: &Path, files: impl Iterator<Item = u32>) {
    fs::create_dir_all(root.join("files")).unwrap();
    fs::write(root.join("Dockerfile"), TELLTALE).unwrap();
    for file in files {
        fs::write(root.join(format!("files/f{file}")), format!("{file}\n")).unwrap();
    }
}

#[test]
fn the_image_does_not_tell_who_has_built_it_where() {
    let Some(world) = user() else { return };
    let build =
        "export SOURCE_DATE_EPOCH=1000000000 && slipway import rootfs.tar bb > id && slipway build -q told";
    telltale(&world.path("home/told"), 0..10);
    let user = as_user(&world, SUBORDINATE, build);
    assert_eq!(user.code, 0, "{user}");
    // As root, with another order of names in the directory, on one core, on another file system.
    telltale(&world.path("told"), (0..10).rev());
    let script = "mount -t tmpfs tmpfs /mnt && export SLIPWAY_ROOT=/mnt/store && exec taskset 1 sh -c \"$1\"";
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", script, "sh", build]).current_dir(world.path(""));
    command.env_clear().env("HOME", world.path(""));
    command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", world.path("bin").display()));
    let root = Ran::of(&command.output().unwrap());
    assert!(user.stdout.starts_with("sha256:"), "{user}");
    assert_eq!((root.code, root.stdout.clone()), (0, user.stdout), "{root}");
}
