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

/// What is reserved for a process, as its group says.
fn reserved(pid: &str) -> String {
    let groups = std::fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap();
    let of =
        |mark: &str| groups.lines().find_map(|line| line.split_once(mark).map(|(_, path)| path.to_owned()));
    let file = match of(":memory:") {
        Some(path) => format!("/sys/fs/cgroup/memory{path}/memory.soft_limit_in_bytes"),
        None => format!("/sys/fs/cgroup{}/memory.low", of("0::").expect("it is in a group")),
    };
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{file}: {error}")).trim().to_owned()
}

#[test]
fn memory_is_reserved() {
    let world = World::new();
    world.ok(["run", "-d", "--name", "web", "--memory-reservation", "32m", "bb", "sleep", "1000"]);
    let pid = world.ok(["inspect", "-f", "{{.State.Pid}}", "web"]);
    assert_eq!(reserved(pid.trim()), (32 << 20).to_string());
    world.ok(["update", "--memory-reservation", "16m", "web"]);
    assert_eq!(reserved(pid.trim()), (16 << 20).to_string());
    let told = world.ok(["inspect", "-f", "{{.HostConfig.MemoryReservation}}", "web"]);
    assert_eq!(told.trim(), (16 << 20).to_string());
    world.ok(["rm", "-f", "web"]);
    let ran = world.run(["run", "--rm", "-m", "16m", "--memory-reservation", "32m", "bb", "true"]);
    assert!(ran.code == 125 && ran.stderr.contains("more than the limit on memory"), "{ran}");
    assert_eq!(world.ok(["ps", "-aq"]), "");
}
