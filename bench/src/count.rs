//! Counts what a build asks of the kernel.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::builder::Builder;
use crate::error::Error;
use crate::process;
use crate::work::{Context, Work};

/// System calls that wait for a disk.
const SYNCS: [&str; 5] = ["fsync", "fdatasync", "syncfs", "sync", "sync_file_range"];

/// System calls that make a process or a thread.
const CLONES: &str = "clone,clone3,fork,vfork";

/// What one build did, its steps included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) system_calls: u64,
    /// New processes; threads are not counted.
    pub(crate) forks: u64,
    pub(crate) syncs: u64,
    /// Bytes of the pages of files that it wrote, by the kernel's account; what file systems write about them is not in.
    pub(crate) written_bytes: u64,
}

/// Counts for rounds that come after the measured ones.
pub(crate) fn count(
    work: &Work,
    builder: &dyn Builder,
    measured_rounds: u64,
    directory: &Path,
) -> Result<Counts, Error> {
    let context = Context::new(work, directory)?;
    let command = |round| -> Result<Command, Error> {
        Ok(work.command(builder, context.enter(round)?).expect("ours can do everything that is measured"))
    };
    process::run(&mut command(0)?)?;

    let log = directory.join("strace");
    let summary = traced(&command(measured_rounds + 1)?, &["-c"], &log)?;
    let names = ["-e", &format!("trace={CLONES}"), "-e", "signal=none", "-qq"];
    let clones = traced(&command(measured_rounds + 2)?, &names, &log)?;

    let mut last = command(measured_rounds + 3)?;
    let before = written_bytes()?;
    process::run(&mut last)?;
    let written_bytes = written_bytes()?.saturating_sub(before);

    let calls = summarised(&summary);
    if calls.is_empty() {
        return Err(Error::Output { command: "strace", problem: "a summary without a call".to_owned() });
    }
    let total = |wanted: &dyn Fn(&str) -> bool| -> u64 {
        calls.iter().filter(|(name, _)| wanted(name)).map(|(_, count)| count).sum()
    };
    Ok(Counts {
        system_calls: total(&|_| true),
        forks: count_processes(&clones),
        syncs: total(&|name| SYNCS.contains(&name)),
        written_bytes,
    })
}

/// What this process and all its children that have ended wrote, see proc_pid_io(5).
fn written_bytes() -> Result<u64, Error> {
    let path = "/proc/self/io";
    let text = fs::read_to_string(path).map_err(Error::at(path))?;
    let written = text.lines().find_map(|line| line.strip_prefix("write_bytes: ")?.trim().parse().ok());
    written.ok_or(Error::Output { command: path, problem: text })
}

/// Runs `command` and all that it starts under strace, and returns what that wrote.
fn traced(command: &Command, options: &[&str], log: &Path) -> Result<String, Error> {
    let mut strace = Command::new("strace");
    strace.arg("-f").args(options).arg("-o").arg(log).arg("--");
    strace.arg(command.get_program()).args(command.get_args());
    process::run(&mut strace)?;
    fs::read_to_string(log).map_err(Error::at(log))
}

/// The lines of `strace -c` below its header, without the total.
fn summarised(summary: &str) -> Vec<(&str, u64)> {
    summary.lines().filter_map(summary_line).filter(|(name, _)| *name != "total").collect()
}

/// Reads `% time, seconds, usecs/call, calls, [errors,] syscall`.
fn summary_line(line: &str) -> Option<(&str, u64)> {
    let columns: Vec<_> = line.split_whitespace().collect();
    let [_, _, _, calls, .., name] = columns[..] else { return None };
    Some((name, calls.parse().ok()?))
}

/// The successful calls that made a process of their own.
fn count_processes(trace: &str) -> u64 {
    let made = |line: &&str| !line.contains("CLONE_THREAD") && !line.contains("resumed>");
    let succeeded = |line: &&str| line.contains("unfinished ...") || !line.contains(" = -1 ");
    let is_call = |line: &&str| CLONES.split(',').any(|name| line.contains(&format!("{name}(")));
    trace.lines().filter(is_call).filter(made).filter(succeeded).count() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_summary_is_read_with_and_without_errors() {
        let summary = "\
strace: Process 7 attached
% time     seconds  usecs/call     calls    errors syscall
------ ----------- ----------- --------- --------- ----------------
 61.09    0.000380          29        13         1 openat
  0.00    0.000000           0         2           fsync
------ ----------- ----------- --------- --------- ----------------
100.00    0.000622           8        15         1 total
";
        assert_eq!(summarised(summary), [("openat", 13), ("fsync", 2)]);
    }

    #[test]
    fn threads_and_failed_calls_are_no_processes() {
        let trace = "\
10 clone3({flags=CLONE_VM|CLONE_VFORK, exit_signal=SIGCHLD}, 88) = 11
10 clone3({flags=CLONE_VM|CLONE_THREAD, exit_signal=0} => {parent_tid=[12]}, 88) = 12
10 vfork( <unfinished ...>
10 <... vfork resumed>)                 = 13
10 clone(child_stack=NULL, flags=CLONE_NEWUSER|SIGCHLD) = -1 EPERM (Operation not permitted)
";
        assert_eq!(count_processes(trace), 2);
    }
}
