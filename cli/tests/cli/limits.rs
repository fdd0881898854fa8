//! `--memory` and its like, on the control groups of this machine.

use crate::support::World;

/// Needs more memory than any limit here allows.
const HOG: &str = "x=$(yes | head -c 200000000)";

#[test]
fn a_container_that_needs_too_much_memory_is_killed_and_told() {
    let world = World::new();
    let ran = world.run(["run", "--memory", "32m", "bb", "sh", "-c", HOG]);
    assert_eq!(ran.code, 137, "{ran}");
    assert!(ran.stderr.contains("killed for memory: limit 32 MiB, peak 3"), "{ran}");
    assert_eq!(
        world.ok(["run", "-m", "64m", "--pids-limit", "20", "--cpus", "1.5", "bb", "echo", "fits"]),
        "fits\n"
    );
}

#[test]
fn a_step_that_needs_too_much_memory_says_so() {
    let world = World::new();
    world.context("Dockerfile", &format!("FROM bb\nRUN {HOG}\n"));
    let ran = world.run(["build", "--memory", "32m", "context"]);
    assert_eq!(ran.code, 1, "{ran}");
    assert!(ran.stderr.contains("killed for memory: limit 32 MiB"), "{ran}");
}

#[test]
fn limits_are_in_no_key() {
    let world = World::new();
    world.context("Dockerfile", "FROM bb\nRUN echo made > /made\n");
    world.ok(["build", "-q", "--memory", "64m", "context"]);
    let again =
        world.run(["build", "--progress", "plain", "--memory", "128m", "--cpu-shares", "512", "context"]);
    assert!(again.stderr.contains("CACHED"), "{again}");
}

#[test]
fn impossible_limits_are_named() {
    let world = World::new();
    let ran = world.run(["run", "--memory", "1m", "bb", "true"]);
    assert_eq!(ran.code, 125);
    assert!(ran.stderr.contains("the minimum is 6 MiB"), "{ran}");
    let ran = world.run(["run", "--memory", "64m", "--memory-swap", "32m", "bb", "true"]);
    assert!(ran.stderr.contains("includes the memory"), "{ran}");
}
