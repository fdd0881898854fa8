//! How much memory a command takes.
//!
//! The kernel tells the peak of all children that a process has waited for, together. So this program starts itself again, to be a
//! process with one child.

use std::ffi::{OsStr, OsString};
use std::process::{Command, Stdio};

use nix::sys::resource::{UsageWho, getrusage};

use crate::error::Error;
use crate::process;

/// The argument that asks for the peak of the command that follows.
const WORD: &str = "--peak-of";
/// The kernel counts in these, see getrusage(2).
const UNIT_BYTES: u64 = 1024;

/// The largest resident set of a process of `command`, in bytes, of it or of a process that it has waited for.
pub(crate) fn bytes(command: &Command) -> Result<u64, Error> {
    let ourselves = std::env::current_exe().map_err(Error::at("/proc/self/exe"))?;
    let mut helper = Command::new(ourselves);
    helper.arg(WORD).arg(command.get_program()).args(command.get_args());
    helper.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    if let Some(directory) = command.get_current_dir() {
        helper.current_dir(directory);
    }
    let text = process::run(&mut helper)?;
    text.parse().map_err(|_| Error::Output { command: WORD, problem: text })
}

/// Whether this process is the one that was started again; then it has done what it was asked for.
pub(crate) fn asked(mut words: impl Iterator<Item = OsString>) -> Option<Result<(), Error>> {
    if words.next().as_deref() != Some(OsStr::new(WORD)) {
        return None;
    }
    let command = words.next()?;
    Some(tell(Command::new(command).args(words)))
}

/// Writes the peak of a command as a number of bytes.
fn tell(command: &mut Command) -> Result<(), Error> {
    let line = format!("{command:?}");
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let status = status.map_err(|source| Error::Start { command: line.clone(), source })?;
    if !status.success() {
        return Err(Error::Status { command: line, status, output: String::new() });
    }
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN)
        .map_err(|error| Error::Start { command: "getrusage".to_owned(), source: error.into() })?;
    println!("{}", u64::try_from(usage.max_rss()).unwrap_or(0) * UNIT_BYTES);
    Ok(())
}
