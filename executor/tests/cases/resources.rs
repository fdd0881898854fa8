//! Limits of whole sandboxes, on the control groups that this machine has.

use std::fs;

use executor::{ErrorKind, Exit, Resources, SandboxError, Spec};

use crate::support::{World, refused, run};

fn limited(world: &World, script: &str, resources: Resources) -> Spec {
    Spec { resources, ..world.shell(script) }
}

/// Groups of ours that exist anywhere, those of other tests of this process aside.
fn groups_of_this_process() -> Vec<String> {
    let output = std::process::Command::new("find")
        .args(["/sys/fs/cgroup", "-maxdepth", "6", "-name"])
        .arg(format!("slipway-*-{}-*", std::process::id()))
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(String::from).collect()
}

pub(crate) fn a_memory_hog_is_killed_and_told(world: &World) {
    let resources = Resources { memory_bytes: Some(32 << 20), ..Resources::default() };
    let ran = run(&limited(world, "tail /dev/zero", resources)).unwrap();
    let account = ran.outcome.account.expect("there was a group");
    assert_ne!(ran.outcome.exit, Exit::Code(0));
    assert_eq!(account.memory_limit_bytes, Some(32 << 20));
    assert!(account.memory_kills > 0, "{account:?}");
    let told = account.memory_kill().expect("it was killed");
    assert!(told.starts_with("killed for memory: limit 32 MiB, peak 3"), "{told}");
}

pub(crate) fn a_fork_bomb_meets_its_limit(world: &World) {
    let resources = Resources { pids_max: Some(20), ..Resources::default() };
    let script = "for i in $(seq 60); do sleep 100 & done; echo never";
    let ran = run(&limited(world, script, resources)).unwrap();
    let account = ran.outcome.account.expect("there was a group");
    assert!(account.pids_refused > 0, "{account:?} {}", ran.stderr);
}

pub(crate) fn the_account_counts(world: &World) {
    let resources = Resources { account: true, ..Resources::default() };
    let script = "dd if=/dev/zero of=/tmp/file bs=1M count=20 2>/dev/null; i=0; while [ $i -lt 30000 ]; do i=$((i+1)); done";
    let account =
        run(&limited(world, script, resources)).unwrap().outcome.account.expect("there was a group");
    assert!(account.memory_peak_bytes.expect("memory is counted") > 1 << 20, "{account:?}");
    assert!(account.cpu.expect("time is counted").as_millis() > 5, "{account:?}");
    assert_eq!((account.memory_kill(), account.pids_refused), (None, 0));
    assert_eq!(run(&world.shell("true")).unwrap().outcome.account, None, "nobody asked");
}

pub(crate) fn groups_are_those_of_the_sandbox_and_go_with_it(world: &World) {
    let resources = Resources {
        memory_bytes: Some(64 << 20),
        cpu_shares: Some(512),
        cpu_quota_us: Some(50_000),
        cpuset_cpus: String::from("0"),
        pids_max: Some(50),
        ..Resources::default()
    };
    // Inside, a group is the root of what is visible.
    let script =
        "grep -cE ':(memory|cpu|cpuset|pids):/$' /proc/self/cgroup; grep Cpus_allowed_list /proc/self/status";
    let ran = run(&limited(world, script, resources)).unwrap();
    assert!(ran.stdout.ends_with("Cpus_allowed_list:\t0\n"), "{}{}", ran.stdout, ran.stderr);
    assert_ne!(ran.stdout.lines().next(), Some("0"), "{}", ran.stdout);
    assert_eq!(groups_of_this_process(), Vec::<String>::new());
}

pub(crate) fn impossible_limits_are_named(world: &World) {
    let of = |resources: Resources| refused(&limited(world, "true", resources));
    let small = of(Resources { memory_bytes: Some(1), ..Resources::default() });
    assert!(small.to_string().contains("minimum is 6 MiB"), "{small}");
    let outside = of(Resources { parent: "../x".into(), ..Resources::default() });
    assert!(outside.to_string().contains("leads out of the hierarchy"), "{outside}");
    let processors = of(Resources { cpuset_cpus: "4000".into(), ..Resources::default() });
    assert_eq!(processors.kind(), ErrorKind::Kernel, "{processors}");
    assert!(matches!(processors, SandboxError::Kernel { .. }));
    assert_eq!(groups_of_this_process(), Vec::<String>::new());
}

pub(crate) fn what_was_left_behind_is_swept(world: &World) {
    let own = fs::read_to_string("/proc/self/cgroup").unwrap();
    let Some(path) = own.lines().find_map(|line| line.split_once(":pids:").map(|(_, path)| path.to_string()))
    else {
        return run(&limited(world, "true", Resources { account: true, ..Resources::default() }))
            .map(drop)
            .unwrap();
    };
    use std::os::unix::fs::MetadataExt;
    let namespace = fs::metadata("/proc/self/ns/pid").unwrap().ino();
    // Not this process: other tests of it look at its groups.
    let mut gone = std::process::Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let orphan = format!("/sys/fs/cgroup/pids{path}/slipway-{namespace}-{}-1-0", gone.id());
    fs::create_dir_all(&orphan).unwrap();
    // The first sandbox of a process with a group sweeps.
    let status =
        std::process::Command::new("/proc/self/exe").arg(SWEEP).arg(world.path("image")).status().unwrap();
    assert!(status.success());
    assert!(!std::path::Path::new(&orphan).exists());
}

/// First argument of the test binary when it only runs one limited sandbox.
pub(crate) const SWEEP: &str = "--sweep";

/// An engine that has made no group yet.
pub(crate) fn sweep() -> std::process::ExitCode {
    let world = World::new(crate::support::Mode::Root);
    let resources = Resources { pids_max: Some(50), ..Resources::default() };
    run(&limited(&world, "true", resources)).unwrap();
    std::process::ExitCode::SUCCESS
}
