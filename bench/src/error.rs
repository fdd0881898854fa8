//! What can go wrong in a benchmark.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// What can go wrong in a benchmark.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{problem}\n{usage}")]
    Usage { problem: String, usage: &'static str },
    #[error("`{variable}` is not set: run this as `cargo xtask bench`")]
    Variable { variable: &'static str },
    #[error("cannot start `{command}`")]
    Start { command: String, source: io::Error },
    #[error("`{command}`: {status}\n{output}")]
    Status { command: String, status: ExitStatus, output: String },
    #[error("{}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("`{command}` wrote something that is not understood: {problem}")]
    Output { command: &'static str, problem: String },
    #[error("`{program}` is missing")]
    Missing { program: &'static str },
    #[error("`{daemon}` does not listen on {} after {seconds} s\n{log}", socket.display())]
    Silent { daemon: &'static str, socket: PathBuf, seconds: u64, log: String },
}

impl Error {
    /// An error at a file, for `map_err`.
    pub(crate) fn at(path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { path, source }
    }
}
