//! Runs other programs, and says what it runs.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

use crate::error::Error;

/// A command line as a person would type it, for messages.
fn display(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
}

/// Cargo itself: the one that runs this program.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(crate::workspace::root());
    cargo
}

/// Runs `command` with our own standard streams, after naming it on standard error.
pub(crate) fn run(command: &mut Command) -> Result<(), Error> {
    let line = display(command);
    eprintln!("+ {line}");
    let status = command.status().map_err(|source| Error::Start { command: line.clone(), source })?;
    if status.success() { Ok(()) } else { Err(Error::Status { command: line, status }) }
}

/// Runs `command` and returns what it wrote to standard output. Its standard error stays ours.
pub(crate) fn output(command: &mut Command) -> Result<String, Error> {
    let output = capture(command.stderr(Stdio::inherit()))?;
    text(command, output.stdout)
}

/// Runs `command` and returns what it wrote to standard error. Its standard output stays ours.
pub(crate) fn error_output(command: &mut Command) -> Result<String, Error> {
    let output = capture(command.stdout(Stdio::inherit()))?;
    text(command, output.stderr)
}

fn capture(command: &mut Command) -> Result<Output, Error> {
    let line = display(command);
    eprintln!("+ {line}");
    let output = command.stdin(Stdio::null()).output();
    let output = output.map_err(|source| Error::Start { command: line.clone(), source })?;
    if output.status.success() {
        return Ok(output);
    }
    // What was caught may hold the reason.
    eprint!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    Err(Error::Status { command: line, status: output.status })
}

fn text(command: &Command, bytes: Vec<u8>) -> Result<String, Error> {
    String::from_utf8(bytes).map_err(|_| Error::NotText { command: display(command) })
}

/// Whether `command` ends with success; what it prints is thrown away.
pub(crate) fn succeeds(command: &mut Command) -> bool {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.status().is_ok_and(|status| status.success())
}
