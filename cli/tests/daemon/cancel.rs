//! Clients and daemons that go away.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::buildctl::{build, ok};
use crate::buildkitd::named;
use crate::client::{Served, is_running};

/// A machine that does much else may take long.
const PATIENCE: Duration = Duration::from_secs(60);

/// Begins a build whose step sleeps, and waits until it does.
fn sleeping(served: &Served, seconds: &str) -> Child {
    let context = served.home.context(&format!("FROM base\nRUN echo begun && exec sleep {seconds}"), &[]);
    let mut client = served.client(&["build", "--progress=plain", &context]);
    let mut client = client.stderr(Stdio::piped()).spawn().unwrap();
    let shown = BufReader::new(client.stderr.take().unwrap());
    let mut lines = shown.lines().map_while(Result::ok);
    assert!(lines.any(|line| line.ends_with(" begun")), "the step begins");
    std::thread::spawn(move || lines.for_each(drop));
    eventually(|| is_running(seconds));
    client
}

fn eventually(is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < PATIENCE, "it does not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_client_that_is_gone_takes_its_build_along() {
    let served = Served::start(&[]);
    let mut client = sleeping(&served, "86411");
    client.kill().unwrap();
    client.wait().unwrap();
    eventually(|| !is_running("86411"));
    // The others go on.
    let context = served.home.context("FROM base\nRUN true", &[]);
    served.build(&[&context]);
}

#[test]
fn a_daemon_that_is_killed_leaves_nothing_and_its_cache_counts() {
    let mut served = Served::start(&[]);
    let mut client = sleeping(&served, "86412");
    served.daemon.kill().unwrap();
    served.daemon.wait().unwrap();
    assert!(!client.wait().unwrap().success());
    eventually(|| !is_running("86412"));
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(served.home.store().to_str().unwrap()), "{mounts}");
    assert_eq!(served.home.ok(&["store", "check"]).matches("problem").count(), 0);
}

/// Builds at the same time.
const BUILDS: u32 = 10;

#[test]
fn ten_builds_of_a_daemon_that_is_killed_leave_nothing_and_the_next_one_goes_on() {
    let mut served = Served::alone(&[]);
    let seconds = |number: u32| (86_420 + number).to_string();
    let begin = |number: u32| {
        let text = format!("FROM base\nRUN true\nRUN echo begun && exec sleep {}", seconds(number));
        let directory = served.home.path(&format!("context{number}"));
        std::fs::create_dir(&directory).unwrap();
        std::fs::write(directory.join("Dockerfile"), text).unwrap();
        let mut client = named(&served.home, "buildctl");
        client.args(["--addr", &served.address, "build", "--progress=plain", "--frontend=dockerfile.v0"]);
        let local = |name: &str| format!("{name}={}", directory.display());
        client.args(["--local", &local("context"), "--local", &local("dockerfile")]);
        client.stderr(Stdio::piped()).spawn().unwrap()
    };
    let mut clients: Vec<Child> = (0..BUILDS).map(begin).collect();
    for client in &mut clients {
        let mut lines = BufReader::new(client.stderr.take().unwrap()).lines().map_while(Result::ok);
        assert!(lines.any(|line| line.ends_with(" begun")), "the step begins");
        std::thread::spawn(move || lines.for_each(drop));
    }
    served.daemon.kill().unwrap();
    served.daemon.wait().unwrap();
    assert!(clients.iter_mut().all(|client| !client.wait().unwrap().success()));
    eventually(|| !(0..BUILDS).any(|number| is_running(&seconds(number))));
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(served.home.store().to_str().unwrap()), "{mounts}");
    // Its socket is still there, and nobody behind it.
    let mut next = served.home.command(&["daemon", "--addr", &served.address]);
    served.daemon = next.stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(served.daemon.stderr.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("listening at "), "{line}");
    served.home.context("FROM base\nRUN true", &[]);
    let shown = ok(&served, &build(&[])).shown;
    assert!(shown.contains(" CACHED"), "{shown}");
    assert_eq!(served.home.ok(&["store", "check"]).matches("problem").count(), 0);
}

#[test]
fn a_daemon_that_is_told_to_end_ends_its_builds() {
    let mut served = Served::start(&[]);
    let mut client = sleeping(&served, "86413");
    let pid = served.daemon.id().to_string();
    assert!(Command::new("kill").arg(pid).status().unwrap().success());
    assert!(served.daemon.wait().unwrap().success());
    assert!(!client.wait().unwrap().success());
    eventually(|| !is_running("86413"));
    assert!(!served.socket().exists());
}
