//! What can go wrong in a chore.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

/// What can go wrong in a chore.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{problem}\n{usage}")]
    Usage { problem: String, usage: &'static str },
    #[error("cannot start `{command}`")]
    Start { command: String, source: io::Error },
    #[error("`{command}`: {status}")]
    Status { command: String, status: ExitStatus },
    #[error("`{command}` wrote something that is not UTF-8")]
    NotText { command: String },
    #[error("{}", path.display())]
    File { path: PathBuf, source: io::Error },
    #[error("`{command}` says nothing about `{fact}`")]
    MissingFact { command: String, fact: &'static str },
    #[error("{}: {problem}", path.display())]
    Binary { path: PathBuf, problem: String },
    #[error("these packages are missing: {names}\ninstall them with: {install}")]
    MissingPackages { names: String, install: String },
    #[error("the second build ran {steps} steps again: {output}")]
    NotCached { steps: usize, output: String },
    #[error("`{image}` printed something else than the maze:\n{output}")]
    WrongOutput { image: &'static str, output: String },
    #[error("{}:{line}: {problem}", path.display())]
    Project { path: PathBuf, line: usize, problem: String },
    #[error("no project `{name}` in testdata/projects")]
    NoProject { name: String },
    #[error("printed:\n{printed}instead of:\n{expected}")]
    Printed { printed: String, expected: String },
    #[error("{} of the corpus failed: {}", names.len(), names.join(", "))]
    CorpusFailed { names: Vec<String> },
    #[error("torture has {findings} findings")]
    Tortured { findings: usize },
}
