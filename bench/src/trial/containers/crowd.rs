//! Many containers at once: how long it takes until they run, and what each costs in memory.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::super::{Amount, Finding};
use crate::base;
use crate::builder::{Runner, Setup};
use crate::error::Error;
use crate::process;

const CONTAINERS: usize = 200;
/// How many of them are started at the same time.
const CLIENTS: usize = 16;
const START_MOST: Amount = Amount::Time(Duration::from_secs(5));
/// For one container.
const MEMORY_MOST: Amount = Amount::Bytes(3_000_000);
/// What the names of our processes begin with.
const OURS: &str = "slipway-";
/// The kernel counts in these, see proc_pid_smaps(5).
const UNIT_BYTES: u64 = 1024;

pub(super) fn measure(runner: &dyn Runner, setup: &Setup) -> Result<Vec<Finding>, Error> {
    let begin = Instant::now();
    start_all(runner)?;
    let started = begin.elapsed();
    let running = process::run(runner.command().args(["ps", "--quiet"]))?;
    if running.lines().count() != CONTAINERS {
        let problem = format!("{} containers run", running.lines().count());
        return Err(Error::Output { command: "slipway ps", problem });
    }
    let bytes = memory_bytes(&setup.directory);
    let begin = Instant::now();
    process::run(runner.command().args(["rm", "--force"]).args(running.lines()))?;
    let removed = begin.elapsed();
    let each = bytes / CONTAINERS as u64;
    Ok(vec![
        Finding::time(format!("{CONTAINERS} containers with private networks until all run"), started)
            .at_most(START_MOST),
        Finding::bytes("memory of our processes for each of them", each).at_most(MEMORY_MOST),
        Finding::time("`rm --force` of all", removed),
    ])
}

fn start_all(runner: &dyn Runner) -> Result<(), Error> {
    let next = AtomicUsize::new(0);
    let client = || {
        while next.fetch_add(1, Ordering::Relaxed) < CONTAINERS {
            process::run(runner.command().args(["run", "-d", base::NAME, "sleep", "1000"]))?;
        }
        Ok(())
    };
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(client)).collect();
        clients.into_iter().try_for_each(|client| client.join().expect("a thread that only waits"))
    })
}

/// Memory of the monitors of a store below a directory and of their children of ours: what several share counts in parts.
fn memory_bytes(directory: &Path) -> u64 {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids: Vec<u32> = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    let directory = directory.to_string_lossy();
    let is_monitor =
        |pid: &u32| command_line(*pid).is_some_and(|line| is_ours(&line) && line.contains(&*directory));
    let monitors: Vec<u32> = pids.iter().copied().filter(is_monitor).collect();
    let is_child = |pid: &u32| {
        command_line(*pid).is_some_and(|line| is_ours(&line))
            && parent(*pid).is_some_and(|parent| monitors.contains(&parent))
    };
    let children = pids.iter().copied().filter(is_child);
    monitors.iter().copied().chain(children).filter_map(|pid| field(pid, "smaps_rollup", "Pss:")).sum::<u64>()
        * UNIT_BYTES
}

fn command_line(pid: u32) -> Option<String> {
    fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()
}

fn is_ours(line: &str) -> bool {
    line.starts_with(OURS)
}

fn parent(pid: u32) -> Option<u32> {
    field(pid, "status", "PPid:")?.try_into().ok()
}

/// The number behind a word in a file of a process, see proc(5).
fn field(pid: u32, file: &str, word: &str) -> Option<u64> {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).ok()?;
    text.lines().find_map(|line| line.strip_prefix(word))?.split_whitespace().next()?.parse().ok()
}
