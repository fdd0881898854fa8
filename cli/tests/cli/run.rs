//! `slipway run`: what the container gets, and what comes of it.

use std::fs;
use std::io::{BufRead, BufReader};
use std::time::{Duration, Instant};

use crate::support::{World, signal, spawn};

#[test]
fn output_and_exit_code_are_those_of_the_command() {
    let world = World::new();
    let ran = world.run(["run", "--rm", "bb", "sh", "-c", "echo out; echo err >&2; exit 3"]);
    assert_eq!((ran.code, ran.stdout.as_str(), ran.stderr.as_str()), (3, "out\n", "err\n"));
    assert_eq!(world.run(["run", "bb", "false"]).code, 1);
    assert_eq!(world.run(["run", "bb", "sh", "-c", "sh -c 'kill -9 $$'; exit $?"]).code, 137);
}

#[test]
fn what_cannot_be_started_has_dockers_codes() {
    let world = World::new();
    let _guard = world.settings().bind_to_scope();
    insta::assert_snapshot!(world.run(["run", "bb", "nope"]), @"
    exit code 127
    ---- stderr
    ERROR: cannot start the container: executable `nope` not found in the image
    ");
    insta::assert_snapshot!(world.run(["run", "bb", "/etc/passwd"]), @"
    exit code 126
    ---- stderr
    ERROR: cannot start the container: `/etc/passwd` cannot be executed: Permission denied (os error 13)
    ");
    insta::assert_snapshot!(world.run(["run", "--pull=never", "absent", "true"]), @"
    exit code 125
    ---- stderr
    ERROR: no such image: absent:latest
    hint: `slipway images` lists the images that there are
    ");
    insta::assert_snapshot!(world.run(["run", "bb"]), @"
    exit code 125
    ---- stderr
    ERROR: no command specified: image `bb` has neither CMD nor ENTRYPOINT
    hint: say what to run: `slipway run bb COMMAND`
    ");
    insta::assert_snapshot!(world.run(["run", "--bogus", "bb"]), @"
    exit code 125
    ---- stderr
    ERROR: unknown flag: --bogus
    hint: see 'slipway run --help'
    ");
    insta::assert_snapshot!(world.run(["run", "-u", "captain", "bb", "true"]), @"
    exit code 125
    ---- stderr
    ERROR: cannot start the container: no user `captain` in the image's `/etc/passwd`
    ");
    insta::assert_snapshot!(world.run(["run", "-it", "bb", "true"]), @"
    exit code 125
    ---- stderr
    ERROR: the input device is not a TTY
    ");
}

#[test]
fn options_end_at_the_image() {
    let world = World::new();
    assert_eq!(world.ok(["run", "bb", "echo", "-e", "--rm", "--help"]), "--rm --help\n");
}

#[test]
fn options_change_the_container() {
    let world = World::new();
    fs::write(world.path("variables"), "# comment\nFROM_FILE=1\nTWICE=file\n").unwrap();
    let show = "echo $FROM_FILE $TWICE $HOST_ONLY; pwd; id -un; hostname";
    let mut command =
        world.command(["run", "--env-file", "variables", "-e", "TWICE=line", "-e", "HOST_ONLY"]);
    command
        .args(["-w", "/tmp", "-u", "sailor", "-h", "ship", "bb", "sh", "-c", show])
        .env("HOST_ONLY", "host");
    let output = command.output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "1 line host\n/tmp\nsailor\nship\n", "{output:?}");
    assert_eq!(world.ok(["run", "--entrypoint", "echo", "bb", "a", "b"]), "a b\n");
}

#[test]
fn input_is_passed_on_only_when_asked_for() {
    let world = World::new();
    assert_eq!(world.run_with(b"typed\n", ["run", "-i", "bb", "cat"]).stdout, "typed\n");
    assert_eq!(world.run_with(b"", ["run", "bb", "cat"]).stdout, "");
}

#[test]
fn changes_are_thrown_away() {
    let world = World::new();
    world.ok(["run", "bb", "touch", "/new"]);
    assert_ne!(world.run(["run", "bb", "test", "-e", "/new"]).code, 0);
}

#[test]
fn signals_reach_the_command() {
    let world = World::new();
    let script = "trap 'echo caught; exit 9' TERM; echo ready; while true; do sleep 0.05; done";
    let mut child = spawn(&mut world.command(["run", "bb", "sh", "-c", script]));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    signal(child.id(), "TERM");
    assert_eq!(lines.next().unwrap().unwrap(), "caught");
    assert_eq!(child.wait().unwrap().code(), Some(9));
}

#[test]
fn the_third_ctrl_c_kills_what_ignores_the_others() {
    let world = World::new();
    let script = "trap '' INT; echo ready; while true; do sleep 0.05; done";
    let mut child = spawn(&mut world.command(["run", "bb", "sh", "-c", script]));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert_eq!(lines.next().unwrap().unwrap(), "ready");
    let begin = Instant::now();
    for _ in 0..3 {
        signal(child.id(), "INT");
        // Signals of one kind that come together are one signal.
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(child.wait().unwrap().code(), Some(137));
    assert!(begin.elapsed() < Duration::from_secs(5));
}
