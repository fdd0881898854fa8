//! Nothing outlives its owner, and nothing stays on the host.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child as Process, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use executor::{Binding, Exit, Io, Mount, Network, Resources, Rootfs, SandboxError, Spec, spawn};

use crate::support::{World, host_mounts, output, run, start};

/// First argument of the test binary when it is an engine that will be killed.
pub(crate) const HOLD: &str = "--hold";

/// Time in which everything must be gone.
const PATIENCE: Duration = Duration::from_secs(1);

/// An engine: `--hold IMAGE UPPER WORK COMMAND...` runs one sandbox with the streams of this process.
pub(crate) fn hold(arguments: &[String]) -> ExitCode {
    let [image, upper, work, command @ ..] = arguments else { return ExitCode::from(2) };
    let rootfs = Rootfs::Overlay {
        lowers: vec![image.into()],
        upper: upper.into(),
        work: work.into(),
        volatile: true,
    };
    let resources = Resources { account: true, ..Resources::default() };
    let env = vec![("PATH".into(), "/bin".into())];
    let spec = Spec { env, resources, ..Spec::new(rootfs, command.to_vec()) };
    match spawn(&spec, Io::Inherit).and_then(executor::Child::wait) {
        Ok(outcome) => ExitCode::from(if outcome.exit == Exit::Code(0) { 0 } else { 1 }),
        Err(SandboxError::Helper { .. }) => ExitCode::from(3),
        Err(_) => ExitCode::from(4),
    }
}

/// Starts an engine with a sandbox in which `script` has printed `ready`.
fn engine(world: &World, script: &str) -> Process {
    let mut process = Command::new("/proc/self/exe")
        .arg(HOLD)
        .args([world.path("image"), world.path("upper"), world.path("work")])
        .args(["sh", "-c", script])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut buffer = [0; 6];
    process.stdout.as_mut().unwrap().read_exact(&mut buffer).unwrap();
    assert_eq!(&buffer, b"ready\n");
    process
}

/// Control groups that the sandboxes of a process have made.
fn groups_of(process: u32, directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.extend(groups_of(process, &entry.path()));
            if name.starts_with("slipway-") && name.split('-').nth(2) == Some(&process.to_string()) {
                found.push(entry.path());
            }
        }
    }
    found
}

/// Waits until nobody holds the output any more: engine, helper, and all processes of the sandbox.
#[track_caller]
fn everybody_is_gone(process: &mut Process) {
    let mut output = process.stdout.take().unwrap();
    let (sender, receiver) = std::sync::mpsc::channel();
    let begin = Instant::now();
    std::thread::spawn(move || {
        let _ = output.read_to_end(&mut Vec::new());
        let _ = sender.send(begin.elapsed());
    });
    let elapsed = receiver.recv_timeout(Duration::from_secs(10)).expect("all processes end");
    assert!(elapsed < PATIENCE, "{elapsed:?}");
}

const DAEMONS: &str = "(sleep 1000 &); (trap '' TERM HUP INT; sleep 1000) & echo ready; sleep 1000";

pub(crate) fn killing_the_engine_kills_the_tree(world: &World) {
    let mounts = host_mounts();
    let mut process = engine(world, DAEMONS);
    process.kill().unwrap();
    process.wait().unwrap();
    everybody_is_gone(&mut process);
    assert_eq!(host_mounts(), mounts);
}

pub(crate) fn killing_the_engine_at_any_time(world: &World) {
    let mounts = host_mounts();
    for step in 0..40 {
        let work = world.path(&format!("work/{step}"));
        fs::create_dir(&work).unwrap();
        let mut process = Command::new("/proc/self/exe")
            .arg(HOLD)
            .args([world.path("image"), world.path("upper"), work])
            .args(["sh", "-c", DAEMONS])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_micros(250 * step));
        process.kill().unwrap();
        process.wait().unwrap();
        everybody_is_gone(&mut process);
    }
    assert_eq!(host_mounts(), mounts);
}

pub(crate) fn killing_the_engine_leaves_no_groups(world: &World) {
    let mut process = engine(world, "echo ready; exec sleep 1000");
    let id = process.id();
    process.kill().unwrap();
    process.wait().unwrap();
    everybody_is_gone(&mut process);
    let until = Instant::now() + Duration::from_secs(20);
    while !groups_of(id, Path::new("/sys/fs/cgroup")).is_empty() {
        assert!(Instant::now() < until, "{:?}", groups_of(id, Path::new("/sys/fs/cgroup")));
        std::thread::sleep(Duration::from_millis(10));
    }
}

pub(crate) fn killing_the_helper_kills_the_tree(world: &World) {
    let mut process = engine(world, DAEMONS);
    let id = process.id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let helper = children.trim();
    assert!(Command::new("kill").args(["-KILL", helper]).status().unwrap().success());
    assert_eq!(process.wait().unwrap().code(), Some(3));
    everybody_is_gone(&mut process);
}

pub(crate) fn a_changed_user_does_not_escape(world: &World) {
    // A change of ids clears the kernel's signal at the death of the parent.
    let mut process = engine(world, "exec su -s /bin/sh app -c 'echo ready; exec sleep 1000'");
    process.kill().unwrap();
    process.wait().unwrap();
    everybody_is_gone(&mut process);
}

pub(crate) fn nothing_stays_mounted(world: &World) {
    let mounts = host_mounts();
    output(&world.spec(&["true"]));
    assert!(run(&world.spec(&["absent"])).is_err());
    let child = start(&world.shell("echo ready; sleep 1000"));
    // While it runs, too.
    assert_eq!(host_mounts(), mounts);
    child.kill();
    child.wait().unwrap();
    assert_eq!(host_mounts(), mounts);
    // The directories can be removed at once: nothing holds them.
    fs::remove_dir_all(world.path("upper")).unwrap();
}

pub(crate) fn descriptors_do_not_pile_up(world: &World) {
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    output(&world.spec(&["true"]));
    let before = count();
    for _ in 0..5 {
        output(&world.spec(&["true"]));
        assert!(run(&world.spec(&["absent"])).is_err());
    }
    assert_eq!(count(), before);
}

pub(crate) fn helpers_can_be_started_in_advance(world: &World) {
    executor::prepare().unwrap();
    executor::prepare().unwrap();
    assert_eq!(output(&world.spec(&["echo", "one"])), "one");
    assert_eq!(output(&world.spec(&["echo", "two"])), "two");
    // One that somebody killed is replaced.
    executor::prepare().unwrap();
    let id = std::process::id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let helpers: Vec<_> = children.split_whitespace().collect();
    assert_eq!(helpers.len(), 1);
    assert!(Command::new("kill").args(["-KILL", helpers[0]]).status().unwrap().success());
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(output(&world.spec(&["echo", "three"])), "three");
}

/// The processes of a process.
fn children_of(process: &str) -> Vec<String> {
    let children = fs::read_to_string(format!("/proc/{process}/task/{process}/children")).unwrap_or_default();
    children.split_whitespace().map(String::from).collect()
}

/// Waits for something that takes the kernel a moment, or five seconds.
fn until<T>(what: &str, mut is_so: impl FnMut() -> Option<T>) -> T {
    let begin = Instant::now();
    loop {
        if let Some(value) = is_so() {
            return value;
        }
        assert!(begin.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A helper without a job, and the process that it has made ahead.
pub(crate) fn helper_and_process() -> (String, String) {
    executor::prepare().unwrap();
    let [helper] = &children_of(&std::process::id().to_string())[..] else { panic!("not one helper") };
    let process = until("no process ahead", || children_of(helper).pop());
    (helper.clone(), process)
}

pub(crate) fn a_process_made_ahead_becomes_the_command(world: &World) {
    let (helper, process) = helper_and_process();
    let child = start(&world.shell("echo ready; sleep 1000"));
    assert_eq!(children_of(&helper), [process]);
    child.kill();
    child.wait().unwrap();
    helper_and_process();
    // The third is the directory that is listed.
    assert_eq!(output(&world.shell("ls /proc/self/fd")), "0\n1\n2\n3");
}

pub(crate) fn what_was_made_ahead_gives_way(world: &World) {
    let bind = Mount::Bind {
        source: world.path("image"),
        subpath: String::new(),
        target: String::from("/mnt"),
        read_only: true,
        binding: Binding::default(),
    };
    let shell = || world.shell("echo ready; sleep 1000");
    let with_bind = Spec { mounts: vec![bind], ..shell() };
    let without_network = Spec { network: Network::None, ..shell() };
    for spec in [with_bind, without_network] {
        let (helper, process) = helper_and_process();
        let child = start(&spec);
        let others = children_of(&helper).into_iter().filter(|other| *other != process);
        assert_eq!(others.count(), 1);
        child.kill();
        child.wait().unwrap();
        until("the process that nobody wants stays", || {
            (!Path::new("/proc").join(&process).exists()).then_some(())
        });
    }
}

pub(crate) fn what_was_made_ahead_does_not_stay(world: &World) {
    let (helper, process) = helper_and_process();
    until("the process still waits", || children_of(&helper).is_empty().then_some(()));
    assert!(!Path::new("/proc").join(process).exists());
    assert_eq!(output(&world.spec(&["echo", "late"])), "late");
}

pub(crate) fn ignored_sigchld_does_no_harm(world: &World) {
    let mut process = Command::new("sh")
        .args(["-c", "trap '' CHLD; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().unwrap())
        .arg(HOLD)
        .args([world.path("image"), world.path("upper"), world.path("work")])
        .args(["sh", "-c", "true & wait; exit 0"])
        .spawn()
        .unwrap();
    assert_eq!(process.wait().unwrap().code(), Some(0));
}

pub(crate) fn no_zombies(world: &World) {
    for _ in 0..3 {
        output(&world.spec(&["true"]));
        drop(spawn(&world.shell("sleep 100"), Io::Null).unwrap());
    }
    let id = std::process::id();
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    for child in children.split_whitespace() {
        let stat = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
        assert!(!stat.contains(") Z "), "{stat}");
    }
}

/// What the kernel needed to work is gone with the mount, white-outs that it kept at hand as well.
pub(crate) fn the_work_directory_is_empty(world: &World) {
    let spec = world.shell("rm /etc/group && mkdir /made && mv /made /moved && echo 1 > /file");
    let Rootfs::Overlay { work, .. } = &spec.rootfs else { unreachable!("a world is an overlay") };
    output(&spec);
    let left: Vec<_> = fs::read_dir(work).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left, Vec::<PathBuf>::new());
    assert_eq!(world.upper_names(""), ["etc", "file", "moved"]);
}
