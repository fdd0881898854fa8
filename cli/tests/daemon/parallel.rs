//! Builds at the same time.

use std::fs;
use std::process::{Child, Stdio};

use crate::buildctl::build;
use crate::buildkitd::named;
use crate::client::Served;

/// Clients at the same time.
const CLIENTS: usize = 100;
/// How many of them ask for something else than the others.
const KINDS: usize = 4;
/// What the daemon may have of the memory meanwhile.
const MEMORY_KB_MAX: u64 = 256 << 10;

/// The most that the daemon has had of the memory.
fn peak_kb(served: &Served) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", served.daemon.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Stages that do not wait for one another, and fail when two of them run at once.
fn alone(count: usize) -> String {
    let stage = |number: usize| {
        format!(
            "FROM base AS s{number}\nRUN --mount=type=cache,id=alone,target=/c \
             mkdir /c/one && sleep 0.1 && rm -r /c/one && touch /s{number}\n"
        )
    };
    let stages: String = (0..count).map(stage).collect();
    let copies: String = (0..count).map(|number| format!("COPY --from=s{number} /s{number} /\n")).collect();
    format!("{stages}FROM base\nARG N\n{copies}")
}

#[test]
fn steps_of_all_builds_together_are_limited() {
    let served = Served::start(&["--max-parallelism=1"]);
    let context = served.home.context(&alone(4), &[]);
    let build = || served.build(&["--no-cache", &context]);
    std::thread::scope(|scope| {
        let others = [scope.spawn(build), scope.spawn(build)];
        others.into_iter().for_each(|other| drop(other.join().unwrap()));
    });
}

#[test]
fn a_hundred_builds_at_once_come_to_an_end() {
    let served = Served::alone(&[]);
    let files: Vec<_> = (0..100).map(|number| (format!("d/f{number}"), "x".repeat(1000))).collect();
    let files: Vec<_> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
    served
        .home
        .context("FROM base\nARG N\nRUN echo once $N; echo $N > /n\nCOPY d /d\nRUN test -f /d/f99\n", &files);
    let begin = |number: usize| {
        let argument = format!("build-arg:N={}", number % KINDS);
        let mut client = named(&served.home, "buildctl");
        client.args(["--addr", &served.address]).args(build(&["--opt", &argument]));
        client.stderr(Stdio::piped()).spawn().unwrap()
    };
    let clients: Vec<Child> = (0..CLIENTS).map(begin).collect();
    let mut ran = 0;
    for client in clients {
        let output = client.wait_with_output().unwrap();
        let shown = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{shown}");
        ran += shown
            .lines()
            .filter(|line| line.starts_with('#') && line.contains(" once ") && !line.contains("RUN"))
            .count();
    }
    // Whoever waits for somebody with the same step has its result.
    assert_eq!(ran, KINDS);
    let peak_kb = peak_kb(&served);
    assert!(peak_kb <= MEMORY_KB_MAX, "{peak_kb} kB");
}
