//! What the store takes, and what pruning gives back.

use std::io::Write;
use std::process::Stdio;
use std::time::Duration;

use crate::support::{World, spawn};

/// Longer than the clock of any file system is coarse.
const SETTLED: Duration = Duration::from_millis(100);

fn built() -> World {
    let world = World::new();
    world.context("Dockerfile", "FROM bb\nCOPY file /\nRUN cat file > copy\n");
    world.context("file", "content\n");
    // What was written just now is not put into the index of the context, and that counts here.
    std::thread::sleep(SETTLED);
    world.ok(["build", "-q", "-t", "demo", "context"]);
    world
}

fn settings(world: &World) -> insta::Settings {
    let mut settings = world.settings();
    settings.add_filter(r"\b[0-9a-f]{64}\b", "<key>");
    settings.add_filter(r"<size> +", "<size> ");
    settings.add_filter(r"\(\d+%\)", "(<percent>)");
    settings
}

#[test]
fn df_has_dockers_table() {
    let world = built();
    let _guard = settings(&world).bind_to_scope();
    insta::assert_snapshot!(world.ok(["system", "df"]));
    insta::assert_snapshot!(world.ok(["system", "df", "--format", "{{.Type}}={{.Active}}"]), @"
    Images=0
    Containers=0
    Local Volumes=0
    Build Cache=0
    ");
    let verbose = world.ok(["system", "df", "-v"]);
    for part in ["Images space usage:", "\nBuild cache usage: ", "[2/3] COPY file /", "regular"] {
        assert!(verbose.contains(part), "{part}: {verbose}");
    }
}

#[test]
fn pruning_the_builder_leaves_images() {
    let world = built();
    let cached = || world.run(["build", "--progress=plain", "context"]).stderr.matches("CACHED").count();
    assert_eq!(cached(), 2);
    world.ok(["builder", "prune", "-f"]);
    assert_eq!(cached(), 2, "their layers are an image's");
    world.ok(["rmi", "demo"]);
    world.ok(["image", "prune", "-f"]);
    assert_eq!(cached(), 2, "the cache has them still");
    world.ok(["image", "prune", "-f"]);
    world.ok(["builder", "prune", "-f", "--max-used-space", "1g"]);
    assert_eq!(cached(), 2, "there is room");
    world.ok(["image", "prune", "-f"]);
    let pruned = world.ok(["builder", "prune", "-f"]);
    assert!(pruned.starts_with("Deleted build cache objects:\n"), "{pruned}");
    assert_eq!(cached(), 0);
    assert_eq!(world.ok(["run", "--rm", "bb", "echo", "whole"]), "whole\n");
}

#[test]
fn questions_are_asked_and_answered() {
    let world = built();
    let _guard = settings(&world).bind_to_scope();
    insta::assert_snapshot!(world.run_with(b"n\n", ["image", "prune", "-a"]).stdout, @"
    WARNING! This will remove all images without at least one container associated to them.
    Are you sure you want to continue? [y/N] 
    ");
    assert_eq!(world.ok(["images", "-q"]).lines().count(), 2);
    insta::assert_snapshot!(world.run_with(b"y\n", ["system", "prune", "-a"]).stdout);
    assert_eq!(world.ok(["images", "-q"]), "");
    insta::assert_snapshot!(world.ok(["system", "prune", "-f"]), @"Total reclaimed space: <size>");
    assert_eq!(std::fs::read_dir(world.path("store/layers")).unwrap().count(), 0);
    assert_eq!(std::fs::read_dir(world.path("store/blobs/sha256")).unwrap().count(), 0);
}

#[test]
fn what_nobody_uses_goes_with_all_that_was_made_for_it() {
    let world = World::new();
    for name in ["old", "young"] {
        world.ok(["create", "--name", name, "--label", name, "-v", "/data", "bb", "true"]);
        world.ok(["network", "create", "--label", name, name]);
    }
    world.ok(["run", "-d", "--name", "busy", "--network", "old", "bb", "sleep", "1000"]);
    let refused = world.run(["system", "prune", "-f", "--volumes", "--filter", "until=1h"]);
    assert!(refused.code == 1 && refused.stderr.contains("\"until\" filter is not supported"), "{refused}");
    world.ok(["system", "prune", "-f", "--filter", "label=old"]);
    let names = |command: &[&str]| world.ok(command).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(names(&["ps", "-a", "--format", "{{.Names}}"]), "busy young");
    assert_eq!(names(&["network", "ls", "-q", "-f", "type=custom"]).split(' ').count(), 2);
    assert_eq!(names(&["volume", "ls", "-q"]).split(' ').count(), 2, "only when they are asked for");
    let text = world.ok(["system", "prune", "-f", "--volumes"]);
    let kinds: Vec<_> = text.lines().filter(|line| line.starts_with("Deleted ")).collect();
    assert_eq!(kinds, ["Deleted Containers:", "Deleted Networks:", "Deleted Volumes:"], "{text}");
    assert_eq!(names(&["ps", "-a", "--format", "{{.Names}}"]), "busy");
    assert_eq!(names(&["network", "ls", "-f", "type=custom", "--format", "{{.Name}}"]), "old");
    world.ok(["rm", "-f", "busy"]);
}

#[test]
fn what_has_a_label_can_stay() {
    let world = World::new();
    world.context("Dockerfile", "FROM bb\nCOPY file /\n");
    world.context("file", "content\n");
    world.ok(["build", "-q", "-t", "kept", "--label", "keep=yes", "context"]);
    world.ok(["build", "-q", "-t", "other", "--label", "keep=no", "context"]);
    let names = || {
        world.ok(["images", "--format", "{{.Repository}}", "-f", "reference=kept", "-f", "reference=other"])
    };
    world.ok(["image", "prune", "-a", "-f", "--filter", "label!=keep"]);
    assert_eq!(names().lines().count(), 2);
    world.ok(["system", "prune", "-a", "-f", "--filter", "label!=keep=yes"]);
    assert_eq!(names(), "kept\n");
}

#[test]
fn what_a_container_uses_stays() {
    let world = built();
    let mut command = world.command(["run", "--rm", "-i", "demo", "sh", "-c", "read line; cat copy"]);
    let mut run = spawn(command.stdin(Stdio::piped()));
    while !world.ok(["system", "df", "--format", "{{.Type}}={{.Active}}"]).contains("Images=2") {
        std::thread::sleep(Duration::from_millis(20));
        assert!(run.try_wait().unwrap().is_none());
    }
    world.ok(["system", "prune", "-a", "-f"]);
    assert_eq!(world.ok(["images", "-q"]).lines().count(), 2, "the base is a part of it");
    assert_eq!(world.ok(["run", "--rm", "demo", "cat", "copy"]), "content\n");
    writeln!(run.stdin.take().unwrap(), "go on").unwrap();
    assert_eq!(std::io::read_to_string(run.stdout.take().unwrap()).unwrap(), "content\n");
    run.wait().unwrap();
    world.ok(["system", "prune", "-a", "-f"]);
    assert_eq!(world.ok(["images", "-q"]), "");
}

#[test]
fn mistakes_are_explained() {
    let world = World::empty();
    let shown = |arguments: &[&str]| world.run(arguments).to_string();
    insta::assert_snapshot!(shown(&["builder", "prune", "-f", "--filter", "colour=red"]), @"
    exit code 1
    ---- stderr
    ERROR: invalid filter `colour=red`, expected one of id, type, until, unused-for as NAME=VALUE
    ");
    insta::assert_snapshot!(shown(&["builder", "prune", "-f", "--keep-storage", "much"]), @"
    exit code 1
    ---- stderr
    error: invalid value 'much' for '--reserved-space <BYTES>': invalid size: 'much'

    For more information, try '--help'.
    ");
    insta::assert_snapshot!(shown(&["image", "prune", "-f", "--filter", "reference=x"]), @"
    exit code 1
    ---- stderr
    ERROR: invalid filter `reference=...`, expected one of dangling, label, label!, until where images are pruned
    ");
}

/// What is in the store.
fn usage(world: &World) -> engine::space::DiskUsage {
    engine::Engine::open(&world.path("store")).unwrap().disk_usage().unwrap()
}

#[test]
fn df_is_what_du_says() {
    let world = built();
    world.context(
        "Dockerfile",
        "FROM bb\nRUN --mount=type=cache,target=/c seq 9999 > /c/x; seq 99 > /y; ln /y /z\n",
    );
    world.ok(["build", "-q", "-t", "other", "context"]);
    world.ok(["save", "-o", "saved.tar", "other"]);
    world.ok(["build", "-q", "-o", "type=oci,dest=oci.tar", "context"]);
    world.ok(["rmi", "other"]);
    let find = ["find", "store", "-type", "f", "-printf", "%i %s\\n"];
    let listed =
        std::process::Command::new(find[0]).args(&find[1..]).current_dir(world.path("")).output().unwrap();
    let listed = String::from_utf8(listed.stdout).unwrap();
    // Each inode once, as du counts them.
    let files: std::collections::BTreeMap<&str, u64> = listed
        .lines()
        .map(|line| line.split_once(' ').expect("two words"))
        .map(|(inode, size)| (inode, size.parse().expect("a size")))
        .collect();
    assert_eq!(usage(&world).total_bytes(), files.values().sum::<u64>(), "{:#?}", usage(&world));
}

/// The commands of a user whose build cache has a ceiling.
fn limited(world: &World, arguments: &[&str]) -> std::process::Command {
    let mut command = world.command(arguments);
    command.env("SLIPWAY_MAX_USED_SPACE", "8m").env("SLIPWAY_RESERVED_SPACE", "0");
    command.env("SLIPWAY_MIN_FREE_SPACE", "0");
    command
}

#[test]
fn the_ceiling_holds_while_builds_go_on() {
    let world = World::new();
    world.context("Dockerfile", "FROM bb\nARG N\nRUN head -c 2000000 /dev/zero > /$N\nRUN echo $N > /last\n");
    let build = |number: u32| {
        let number = format!("N={number}");
        let build = ["build", "--progress=plain", "-t", "demo", "--build-arg", &number, "context"];
        let ran = crate::support::Ran::of(&limited(&world, &build).output().unwrap());
        assert_eq!(ran.code, 0, "{ran}");
        ran.stderr.matches("CACHED").count()
    };
    let image_bytes = usage(&world).images_bytes + 2_000_000;
    for number in 0..12 {
        assert_eq!(build(number), 0);
        assert_eq!(build(number), 2, "what was just used stays");
        // The collection is in the background: it is given some time, on a machine that has other work.
        let until = std::time::Instant::now() + Duration::from_secs(60);
        // Images with a name are beyond the ceiling: `bb` and `demo`.
        while usage(&world).total_bytes() > (8 << 20) + image_bytes + (1 << 20) {
            assert!(std::time::Instant::now() < until, "{:#?}", usage(&world));
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert_eq!(build(11), 2);
    assert_eq!(build(0), 0, "what was used least recently went first");
    assert_eq!(world.ok(["run", "--rm", "bb", "echo", "whole"]), "whole\n");
}

#[test]
fn limits_can_be_asked_for_by_hand() {
    let world = built();
    world.ok(["rmi", "demo"]);
    let gc = |space: &str| {
        world.ok([
            "builder",
            "gc",
            "--max-used-space",
            space,
            "--reserved-space",
            "0",
            "--min-free-space",
            "0",
        ])
    };
    assert_eq!(gc("0"), "Total reclaimed space: 0B\n", "no limit");
    assert!(!gc("50%").contains("\nTotal reclaimed space: 0B"), "the config, which nothing points at");
    assert_eq!(gc("50%"), "Total reclaimed space: 0B\n");
    assert!(gc("1").starts_with("Deleted build cache objects:\n"));
    let wrong = world.run(["builder", "gc", "--max-used-space", "200%"]);
    insta::assert_snapshot!(wrong, @"
    exit code 1
    ---- stderr
    error: invalid value '200%' for '--max-used-space <SPACE>': invalid share of a disk `200%`, expected bytes (10g) or a percentage (20%)

    For more information, try '--help'.
    ");
    let mut wrong = world.command(["images"]);
    let wrong = crate::support::Ran::of(&wrong.env("SLIPWAY_MIN_FREE_SPACE", "much").output().unwrap());
    insta::assert_snapshot!(wrong, @"
    exit code 1
    ---- stderr
    ERROR: SLIPWAY_MIN_FREE_SPACE: invalid share of a disk `much`, expected bytes (10g) or a percentage (20%)
    ");
}

/// Runs a script with the store on a disk of 24 MB, in a mount namespace of its own.
fn on_small_disk(world: &World, script: &str) -> crate::support::Ran {
    std::fs::create_dir(world.path("disk")).unwrap();
    world.write_rootfs("rootfs.tar");
    let set_up = "set -e; mount -t tmpfs -o size=24m none disk; \"$SLIPWAY\" import rootfs.tar bb; ";
    let mut command = std::process::Command::new("unshare");
    let arguments = ["--mount", "--propagation", "private", "sh", "-c"];
    command.args(arguments).arg(format!("{set_up}{script}")).current_dir(world.path("")).env_clear();
    command.env("SLIPWAY", crate::support::binary()).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.env("SLIPWAY_ROOT", world.path("disk/store")).env("HOME", world.path(""));
    crate::support::Ran::of(&command.output().unwrap())
}

#[test]
fn a_step_on_a_full_disk_goes_on_when_there_is_room_again() {
    let world = World::empty();
    world.context(
        "Dockerfile",
        "FROM bb\nARG N\nRUN head -c 6000000 /dev/urandom > /$N\nRUN echo $N > /last\n",
    );
    world.context("copied/Dockerfile", "FROM bb\nCOPY big /\n");
    std::fs::write(world.path("context/copied/big"), vec![7; 6_000_000]).unwrap();
    let script = r#"
        for number in 1 2 3 4 5 6; do
            "$SLIPWAY" build -q -t demo --build-arg N=$number context
        done
        "$SLIPWAY" build -q -t copied context/copied
        "$SLIPWAY" run --rm copied ls -l /big
    "#;
    let ran = on_small_disk(&world, script);
    assert_eq!(ran.code, 0, "{ran}");
    assert!(ran.stdout.contains("6000000"), "{ran}");
}

#[test]
fn a_disk_that_is_full_of_images_is_told() {
    let world = World::empty();
    world.context("Dockerfile", "FROM bb\nARG N\nRUN head -c 6000000 /dev/urandom > /$N\n");
    let script = r#"
        for number in 1 2 3 4 5 6; do
            "$SLIPWAY" build -q -t demo$number --build-arg N=$number context || break
        done
        "$SLIPWAY" rmi demo1 > /dev/null
        "$SLIPWAY" build -q -t again --build-arg N=again context
    "#;
    let ran = on_small_disk(&world, script);
    assert_eq!(ran.code, 0, "it works again once there is room: {ran}");
    assert!(ran.stderr.contains("and the disk of the store is full"), "{ran}");
    assert!(ran.stderr.contains("hint: make room"), "{ran}");
}
