//! Runs other programs, with what they print kept for the case that they fail.

use std::env;
use std::ffi::OsStr;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::error::Error;

/// Executables that an ordinary user's `PATH` leaves out.
const ADMINISTRATOR_PATHS: [&str; 3] = ["/usr/local/sbin", "/usr/sbin", "/sbin"];

/// All executables of this name, in the order of `PATH`.
pub(crate) fn find_all(name: &str) -> Vec<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let directories = env::split_paths(&path).chain(ADMINISTRATOR_PATHS.iter().map(PathBuf::from));
    directories.map(|directory| directory.join(name)).filter(|candidate| candidate.is_file()).collect()
}

/// The executable of this name that a shell, or the administrator's shell, finds.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    find_all(name).into_iter().next()
}

/// Runs `command` to its end and returns what it wrote to standard output.
pub(crate) fn run(command: &mut Command) -> Result<String, Error> {
    let output = finish(command)?;
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

/// Runs `command` to its end and returns the time from its start to its end.
pub(crate) fn time(command: &mut Command) -> Result<Duration, Error> {
    let start = Instant::now();
    finish(command)?;
    Ok(start.elapsed())
}

fn finish(command: &mut Command) -> Result<Output, Error> {
    let line = display(command);
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|source| Error::Start { command: line.clone(), source })?;
    if output.status.success() {
        return Ok(output);
    }
    let text = [output.stdout, output.stderr].concat();
    let output_text = String::from_utf8_lossy(&text).into_owned();
    Err(Error::Status { command: line, status: output.status, output: output_text })
}

/// A command line as a person would type it.
fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}
