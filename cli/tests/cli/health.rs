//! Containers that somebody looks after.

use crate::containers::{inspect, monitor, start, wait_until};
use crate::support::{World, signal};

/// Checks often, so that nobody has to wait.
const OFTEN: [&str; 4] = ["--health-interval", "20ms", "--health-retries", "2"];

#[test]
fn containers_are_well_or_not() {
    let world = World::new();
    let check = ["--name", "web", "--health-cmd", "echo looked; test -e /well"];
    start(&world, &[&check[..], &OFTEN].concat(), "echo ready; exec sleep 1000");
    let status = || inspect(&world, "web", "{{.State.Health.Status}}");
    wait_until("nobody looks", || status() == "unhealthy");
    let last = "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}}{{end}}";
    assert!(inspect(&world, "web", last).starts_with("1 looked\n1 looked"));
    world.ok(["exec", "web", "touch", "/well"]);
    wait_until("it does not get well", || status() == "healthy");
    assert_eq!(inspect(&world, "web", "{{.State.Health.FailingStreak}}"), "0");
    assert!(world.ok(["ps", "--format", "{{.Status}}", "-f", "health=healthy"]).ends_with(" (healthy)\n"));
    wait_until("more is kept than need be", || inspect(&world, "web", "{{len .State.Health.Log}}") == "5");
    assert_eq!(world.ok(["logs", "web"]), "ready\n", "what a check says is nobody's output");
}

#[test]
fn a_check_that_hangs_has_failed() {
    let world = World::new();
    let check = ["--name", "web", "--health-cmd", "sleep 1000", "--health-timeout", "50ms"];
    start(&world, &[&check[..], &OFTEN].concat(), "echo ready; exec sleep 1000");
    wait_until("nobody ends it", || inspect(&world, "web", "{{.State.Health.Status}}") == "unhealthy");
    let last = inspect(&world, "web", "{{range .State.Health.Log}}{{.ExitCode}} {{.Output}};{{end}}");
    assert!(last.starts_with("-1 Health check exceeded timeout (50ms);"), "{last}");
}

#[test]
fn the_check_of_an_image_counts_unless_it_is_not_to() {
    let world = World::new();
    world.context("Dockerfile", "FROM bb\nHEALTHCHECK --interval=20ms CMD true\nCMD [\"sleep\", \"1000\"]\n");
    world.ok(["build", "-q", "-t", "checked", "context"]);
    world.ok(["run", "-d", "--name", "web", "checked"]);
    wait_until("nobody looks", || inspect(&world, "web", "{{.State.Health.Status}}") == "healthy");
    world.ok(["run", "-d", "--name", "other", "--no-healthcheck", "checked"]);
    assert_eq!(world.ok(["ps", "--format", "{{.Names}}", "-f", "health=none"]), "other\n");
    let both = world.run(["create", "--no-healthcheck", "--health-cmd", "true", "bb", "true"]);
    assert!(both.code == 1 && both.stderr.contains("--no-healthcheck conflicts"), "{both}");
}

#[test]
fn limits_and_policies_change_while_a_container_runs() {
    let world = World::new();
    start(&world, &["--name", "web"], "echo ready; exec sleep 1000");
    world.ok(["update", "--memory", "64m", "--restart", "always", "web"]);
    let shown = "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}} {{.HostConfig.RestartPolicy.Name}}";
    assert_eq!(inspect(&world, "web", shown), "67108864 [] always");
    // What fills more than it may is killed, also what is started now: the first write to a tmpfs beyond the limit.
    let fill = "busybox dd if=/dev/zero of=/dev/shm/x bs=1M count=60 && echo full";
    assert_eq!(world.ok(["exec", "web", "sh", "-c", &fill.replace("60", "8")]), "full\n");
    world.ok(["update", "--memory", "32m", "web"]);
    assert_ne!(world.run(["exec", "web", "sh", "-c", fill]).code, 0);
    world.ok(["update", "--pids-limit", "20", "web"]);
    assert_eq!(inspect(&world, "web", shown), "33554432 20 always");
    let nothing = world.run(["update", "web"]);
    assert!(nothing.code == 1 && nothing.stderr.contains("one or more flags"), "{nothing}");
    let parent = world.run(["update", "--cgroup-parent", "x", "web"]);
    assert!(parent.code == 1 && parent.stderr.contains("cannot be changed"), "{parent}");
}

#[test]
fn after_a_restart_of_the_machine_policies_count() {
    let world = World::new();
    let script = "echo ready; exec sleep 1000";
    for (name, policy) in [("always", "always"), ("stopped", "unless-stopped"), ("never", "no")] {
        start(&world, &["--name", name, "--restart", policy], script);
    }
    world.ok(["stop", "-t", "0", "stopped"]);
    for name in ["always", "never"] {
        signal(monitor(&world, name), "KILL");
        wait_until("it lives", || inspect(&world, name, "{{.State.Status}}") == "exited");
    }
    assert_eq!(world.ok(["start", "--restart-policy"]), "always\n");
    assert_eq!(world.ok(["ps", "--format", "{{.Names}}"]), "always\n");
    assert_eq!(world.run(["start", "--restart-policy", "never"]).code, 1);
}

#[test]
fn systemd_can_read_units() {
    let world = World::new();
    world.ok(["create", "--name", "web", "--restart", "on-failure", "bb", "true"]);
    let unit = world.ok(["generate", "systemd", "web"]);
    assert!(unit.contains("Restart=on-failure\n") && unit.contains(" start --attach web\n"), "{unit}");
    let path = world.path("slipway-web.service");
    std::fs::write(&path, unit).unwrap();
    let verified = std::process::Command::new("systemd-analyze").arg("verify").arg(&path).output().unwrap();
    assert!(verified.status.success(), "{verified:?}");
    assert_eq!(world.run(["generate", "systemd", "absent"]).code, 1);
}
