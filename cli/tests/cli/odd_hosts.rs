//! Machines that lack something: the next rung of the ladder, or a precise message.
//!
//! Each is made of namespaces, so that the machine of the test stays as it is.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::support::{Ran, World, binary};

/// An image, and a build that adds, changes, removes, replaces and mounts.
const DOCKERFILE: &str = "FROM bb AS one\nRUN mkdir -p /d/deep && echo 1 > /d/deep/f && ln /d/deep/f /d/g && ln -s f /d/deep/l\n\
    FROM one\nRUN rm /d/g && rm -r /d/deep && mkdir /d/deep && echo 2 > /d/deep/new && chmod 750 /d\n\
    COPY --from=one /d /copied\nCOPY Dockerfile /\n\
    RUN --mount=from=one,source=/d,target=/mnt,rw touch /mnt/thrown-away && cat /mnt/deep/f > /seen\n\
    CMD [\"cat\", \"/seen\"]\n";

/// Runs a script on a machine that `set_up` makes, in mount and user namespaces of its own.
fn on(world: &World, options: &[&str], set_up: &str, script: &str) -> Ran {
    fs::create_dir_all(world.path("bin")).unwrap();
    // A collection in the background may still run it.
    if !world.path("bin/slipway").exists() {
        fs::copy(binary(), world.path("bin/slipway")).unwrap();
    }
    let enter = format!("cd \"$1\" && {{ {set_up}\n}} && exec sh -c \"$2\"");
    let mut command = Command::new("unshare");
    command.args(["--mount"]).args(options).args(["sh", "-c", &enter, "sh"]).arg(world.path("")).arg(script);
    command.env_clear().env("HOME", world.path("home")).env("SOURCE_DATE_EPOCH", "1700000000");
    command.env("PATH", format!("{}:/usr/sbin:/usr/bin:/sbin:/bin", world.path("bin").display()));
    Ran::of(&command.output().unwrap())
}

fn world() -> World {
    let world = World::empty();
    world.write_rootfs("rootfs.tar");
    fs::create_dir_all(world.path("home")).unwrap();
    fs::write(world.path("context/Dockerfile"), DOCKERFILE).unwrap();
    world
}

/// Builds, runs, and lists the tree and every layer of the image.
const BUILD: &str =
    "slipway import rootfs.tar bb > id && slipway build -q -t made context > id && slipway run made &&
    slipway build -q -o out context > id && (cd out && find . -printf '%p %M %U %G %n %l\\n' | sort) &&
    mkdir saved && slipway save made | tar -x -C saved &&
    for layer in $(grep -o '\"blobs/sha256/[0-9a-f]*\"' saved/manifest.json | tail -n +3 | tr -d '\"'); do
        echo layer && tar -tvf saved/$layer | sed 's/ *[0-9]* [0-9-]* [0-9:]* / /'; done; rm -r out saved";

/// A store whose file system is an overlay itself, as in a container: the kernel takes none as an upper directory.
const ON_AN_OVERLAY: &str = "mkdir -p o/lower o/upper o/work o/merged
    mount -t overlay overlay -o lowerdir=o/lower,upperdir=o/upper,workdir=o/work o/merged
    export SLIPWAY_ROOT=$PWD/o/merged/store";

/// A machine whose kernel mounts no overlay: a filter refuses the flags of one, which no other file system here has.
const NO_OVERLAY: &str = r#"export SLIPWAY_ROOT=$PWD/copies
    set -- perl -e '
        my $filter = pack("SCCL" x 6, 0x20, 0, 0, 0,  0x15, 0, 3, 431,  0x20, 0, 0, 24,  0x15, 0, 1, 0,
            0x06, 0, 0, 0x00050001,  0x06, 0, 0, 0x7fff0000);
        my $program = pack("S x6 P", 6, $filter);
        syscall(157, 38, 1, 0, 0, 0) == 0 && syscall(317, 1, 0, $program) == 0 or die "seccomp: $!";
        exec "sh", "-c", $ARGV[0]' "$2"
    exec "$@""#;

#[test]
fn layers_are_copied_where_the_kernel_does_not_stack_them() {
    for options in [&[][..], &["--user", "--map-root-user"]] {
        let world = world();
        let stacked = on(&world, options, "export SLIPWAY_ROOT=$PWD/store", BUILD);
        assert_eq!((stacked.code, stacked.stderr.as_str()), (0, ""), "{stacked}");
        assert!(stacked.stdout.starts_with("1\n"), "{stacked}");
        let copied = on(&world, options, NO_OVERLAY, BUILD);
        assert_eq!(copied.code, 0, "{copied}");
        assert!(copied.stderr.contains("layers are copied for each step"), "{copied}");
        assert_eq!(copied.stdout, stacked.stdout);
    }
}

#[test]
fn the_doctor_finds_copies() {
    let world = world();
    let ran = on(
        &world,
        &[],
        ON_AN_OVERLAY,
        "mkdir o/merged/store; slipway doctor --format '{{.Rung}}: {{.Reason}}'",
    );
    assert_eq!(ran.stdout, "full namespaces, layers copied: the kernel mounts no overlay here\n", "{ran}");
    assert_eq!(ran.code, 0, "{ran}");
    // Nor does an overlay take the mark of a file that is gone, which is the reason to give another store.
    let ran = on(&world, &[], ON_AN_OVERLAY, "mkdir -p o/merged/store; slipway doctor | grep -A 2 whiteouts");
    assert!(ran.stdout.starts_with("NO   whiteouts: Operation not permitted"), "{ran}");
    let added =
        "printf 'FROM bb\nRUN echo 1 > /new\n' > context/Dockerfile; slipway import rootfs.tar bb > id &&
        slipway build -q -t new context > id && slipway run new cat /new";
    let ran = on(&world, &[], ON_AN_OVERLAY, added);
    assert_eq!(ran.stdout, "1\n", "{ran}");
}

/// Root without the capability, in a user namespace that may have no further one: a container of Docker.
const NO_NAMESPACES: &str = "echo 0 > /proc/sys/user/max_user_namespaces
    set -- setpriv --bounding-set=-sys_admin --inh-caps=-all";

#[test]
fn without_namespaces_there_is_a_reason_and_a_way_out() {
    let world = world();
    let options = ["--user", "--map-root-user"];
    let set_up = format!("{NO_NAMESPACES} sh -c \"$2\"; exec \"$@\"");
    let ran = on(
        &world,
        &options,
        &set_up.replace("exec", "export SLIPWAY_ROOT=$PWD/store; exec"),
        "slipway build context",
    );
    assert_eq!(ran.code, 71, "{ran}");
    assert!(
        ran.stderr.contains("cannot create a user namespace: unshare(CLONE_NEWUSER | CLONE_NEWNS): "),
        "{ran}"
    );
    assert!(ran.stderr.contains("slipway doctor"), "{ran}");
    let ran = on(&world, &options, &set_up, "slipway doctor; echo $?");
    assert!(ran.stdout.starts_with("no sandbox\n  because: unshare(CLONE_NEWUSER"), "{ran}");
    assert!(ran.stdout.ends_with("\n71\n"), "{ran}");
}

#[test]
fn files_in_memory_that_cannot_be_executed_do_no_harm() {
    let world = world();
    let set_up = "mkdir tmp && mount -t tmpfs -o noexec,nosuid,nodev none tmp
        export TMPDIR=$PWD/tmp SLIPWAY_ROOT=$PWD/store";
    let ran = on(&world, &[], set_up, BUILD);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{ran}");
}

#[test]
fn a_read_only_home_is_told_and_not_needed() {
    let world = world();
    let set_up = "mount --bind home home && mount -o remount,ro,bind home && unset SLIPWAY_ROOT
        set -- unshare --user --map-user=1000 --map-group=1000 sh -c \"$2\"; exec \"$@\"";
    let ran = on(&world, &[], set_up, "slipway images");
    assert_eq!(ran.code, 71, "{ran}");
    assert!(ran.stderr.contains("Read-only file system"), "{ran}");
    assert!(ran.stderr.contains("--root DIR"), "{ran}");
    let ran = on(
        &world,
        &[],
        set_up,
        "mkdir /tmp/slipway-ro-$$ && slipway --root /tmp/slipway-ro-$$ images -q; echo $?; rm -r /tmp/slipway-ro-$$",
    );
    assert_eq!(ran.stdout, "0\n", "{ran}");
}

#[test]
fn the_doctor_speaks_to_programs() {
    let world = world();
    let ran = on(&world, &[], "export SLIPWAY_ROOT=$PWD/store", "slipway doctor --format json");
    assert_eq!(ran.code, 0, "{ran}");
    for part in [r#""Rung":"full namespaces, as root""#, r#""Name":"Landlock","#, r#""Present":true"#] {
        assert!(ran.stdout.replace("\": ", "\":").contains(part), "{part}: {ran}");
    }
    assert!(!Path::new(&world.path("store")).exists(), "a question makes no store");
}

/// As in a container of Docker or Podman: a part of `/proc` is covered, so that the kernel makes no other `/proc`.
const COVERED: &str = "mount -t tmpfs none /proc/irq; export SLIPWAY_ROOT=$PWD/store OUTSIDE=$$
    set -- unshare --user --map-root-user --mount setpriv --bounding-set=-sys_admin --inh-caps=-all sh -c \"$2\"; exec \"$@\"";

#[test]
fn in_a_container_the_processes_around_are_seen_and_out_of_reach() {
    let world = world();
    let ran = on(&world, &[], COVERED, "slipway doctor --format '{{.Rung}}'");
    assert_eq!(ran.stdout, "in a container, processes shown\n", "{ran}");
    let script = "slipway import rootfs.tar bb > id; sleep 60 & slipway run -e OUT=$! bb sh -c '
        cat /proc/$OUT/cmdline | head -c 5; echo; for way in root/ fd/2/ cwd/; do ls /proc/$OUT/$way > /dev/null 2>&1 || echo $way out of reach; done
        cat /proc/$OUT/environ > /dev/null 2>&1 || echo environ out of reach; head -n 1 /proc/self/status; kill $OUT 2> /dev/null || echo no such'; kill $!";
    let ran = on(&world, &[], COVERED, script);
    let nothing = "root/ out of reach\nfd/2/ out of reach\ncwd/ out of reach\nenviron out of reach\n";
    assert_eq!(ran.stdout, format!("sleep\n{nothing}Name:\thead\nno such\n"), "{ran}");
    assert!(ran.stderr.contains("steps see the names of the processes around them"), "{ran}");
    let ran = on(&world, &[], COVERED, "slipway run --privileged bb true");
    assert_eq!(ran.code, 125, "{ran}");
    assert!(ran.stderr.contains("fsmount(\"proc\""), "{ran}");
}

/// An emulator is registered for arm64: one that runs the applet with the name of the program. It is opened in advance, and
/// in no container.
const EMULATED: &str = r#"export SLIPWAY_ROOT=$PWD/store
    mount -t binfmt_misc none /proc/sys/fs/binfmt_misc && mkdir emulator && cp /bin/busybox emulator/busybox &&
    printf '%s' ':arm64:M::\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:'$PWD/emulator/busybox:F \
        > /proc/sys/fs/binfmt_misc/register"#;

#[test]
fn programs_of_other_architectures_are_emulated_or_named() {
    let world = world();
    let mut program = vec![0; 64];
    program[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
    (program[16], program[18]) = (2, 183);
    fs::create_dir_all(world.path("arm/bin")).unwrap();
    fs::write(world.path("arm/bin/echo"), program).unwrap();
    fs::set_permissions(world.path("arm/bin/echo"), PermissionsExt::from_mode(0o755)).unwrap();
    fs::write(world.path("context/Dockerfile"), "FROM arm\nRUN [\"/bin/echo\", \"built\"]\n").unwrap();
    let options = ["--user", "--map-root-user"];
    let script = "slipway doctor --format '{{range .Features}}{{if eq .Name \"foreign architectures\"}}{{.Detail}}{{end}}{{end}}'
        tar -C arm -c . | slipway import --platform linux/arm64 - arm > id && slipway run arm /bin/echo from afar &&
        slipway build --progress plain --platform linux/arm64 context 2>&1 | grep -o 'built$' | tail -n 1";
    let ran = on(&world, &options, EMULATED, script);
    assert_eq!(ran.stdout, "arm64\nfrom afar\nbuilt\n", "{ran}");
    let ran = on(&world, &options, "export SLIPWAY_ROOT=$PWD/store", "slipway run arm /bin/echo from afar");
    assert_eq!(ran.code, 126, "{ran}");
    assert!(
        ran.stderr.contains("`/bin/echo` is for arm64, and the kernel knows no emulator for that"),
        "{ran}"
    );
    assert!(ran.stderr.contains("hint: install an emulator on this machine"), "{ran}");
}
