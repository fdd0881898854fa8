//! What a user is told when something went wrong: the advice and the exit code of every error.

mod build;
mod containers;
mod elsewhere;
mod exit;

use std::error::Error;
use std::io;

use engine::sandbox::{NamespaceError, SandboxError};

use crate::console::print_error;
use crate::progress::NoTerminal;
use crate::template::TemplateError;
pub(crate) use exit::Exit;

/// What to do about a full disk, on which nothing more can be evicted.
const ROOM: &str = "make room, for example with `slipway image prune`, or put the store elsewhere with `--root DIR`; nothing that was finished is lost";

/// An error as the user sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Report {
    exit: Exit,
    /// Places in the user's files, with what is wrong there.
    excerpts: Vec<String>,
    message: String,
    hints: Vec<String>,
}

impl Report {
    pub(crate) fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, excerpts: Vec::new(), message: message.into(), hints: Vec::new() }
    }

    /// A mistake of the user's.
    pub(crate) fn mistake(message: impl Into<String>) -> Self {
        Self::new(Exit::Failure, message)
    }

    /// A file of the user's that cannot be read or written.
    pub(crate) fn file(path: &std::path::Path, error: &io::Error) -> Self {
        Self::mistake(format!("`{}`: {error}", path.display()))
    }

    fn of(exit: Exit, error: &dyn Error) -> Self {
        Self::new(exit, chain(error))
    }

    /// What the machine refuses.
    pub(crate) fn machine(error: &dyn Error) -> Self {
        Self::of(Exit::Machine, error)
    }

    /// Somebody at the other end of a connection who is not there.
    pub(crate) fn unavailable(error: &dyn Error) -> Self {
        Self::of(Exit::Network, error)
    }

    /// A mistake of the user's that a library has found.
    pub(crate) fn mistake_of(error: &dyn Error) -> Self {
        Self::of(Exit::Failure, error)
    }

    /// The same with words before the message.
    pub(crate) fn with_prefix(mut self, words: &str) -> Self {
        self.message.insert_str(0, words);
        self
    }

    /// Says what the user can do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hints.push(hint.into());
        self
    }

    /// Shows a place in the user's files before the message.
    pub(crate) fn excerpt(mut self, rendered: impl Into<String>) -> Self {
        self.excerpts.push(rendered.into());
        self
    }

    /// As part of `run`, where the codes below 125 belong to the command.
    pub(crate) fn of_run(mut self) -> Self {
        if matches!(self.exit, Exit::Failure | Exit::Machine | Exit::Software | Exit::Network) {
            self.exit = Exit::NotStarted;
        }
        self
    }

    /// The text on standard error.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        for excerpt in self.excerpts.iter().filter(|excerpt| !excerpt.is_empty()) {
            text += excerpt.trim_end_matches('\n');
            text += "\n\n";
        }
        if !self.message.is_empty() {
            text += &format!("ERROR: {}\n", self.message);
        }
        for hint in &self.hints {
            text += &format!("hint: {hint}\n");
        }
        text
    }

    /// Tells the user.
    pub(crate) fn print(&self) -> Exit {
        print_error(&self.text());
        self.exit
    }
}

/// An error with its causes.
fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        // A transparent error says what its cause says.
        if !text.ends_with(&cause_text) {
            text += &format!(": {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl Report {
    /// What to do about a sandbox that did not start, if something can be done.
    fn way_out(self, error: &SandboxError) -> Self {
        match error {
            SandboxError::ForeignArchitecture { .. } => self.hint(
                "install an emulator on this machine: the package `qemu-user-static`, which registers itself; `slipway doctor` lists those that are known",
            ),
            SandboxError::Kernel { .. } => self.hint("`slipway doctor` says what this machine lacks"),
            _ => self,
        }
    }

    /// Of the store, which everything needs.
    pub(crate) fn of_store(error: &(dyn Error + 'static)) -> Self {
        let report = Self::of(Exit::Machine, error);
        match io_kind(error) {
            Some(io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded) => report.hint(ROOM),
            Some(io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem) => {
                report.hint("use a store of your own with `--root DIR` or SLIPWAY_ROOT")
            }
            _ => report,
        }
    }
}

/// The kind of the input or output error at the root of an error.
fn io_kind(error: &(dyn Error + 'static)) -> Option<io::ErrorKind> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some(error.kind());
        }
        cause = error.source();
    }
    None
}

/// Files by which a process knows that it is in a container of Docker or of Podman.
const CONTAINER_MARKS: [&str; 2] = ["/.dockerenv", "/run/.containerenv"];

impl From<NamespaceError> for Report {
    fn from(error: NamespaceError) -> Self {
        let report = Self::new(Exit::Machine, format!("cannot create a user namespace: {}", chain(&error)));
        let is_in_container = CONTAINER_MARKS.iter().any(|path| std::path::Path::new(path).exists());
        let allow = if is_in_container {
            "this container forbids them: start it with `--security-opt seccomp=unconfined`, as Docker and Podman call it"
        } else {
            "run as root, or allow user namespaces: `sysctl kernel.unprivileged_userns_clone=1 user.max_user_namespaces=10000`"
        };
        report.hint(format!("{allow}; `slipway doctor` says what else is missing"))
    }
}

impl From<TemplateError> for Report {
    fn from(error: TemplateError) -> Self {
        let exit = if matches!(error, TemplateError::Syntax { .. }) { Exit::Template } else { Exit::Failure };
        Self::new(exit, format!("template parsing error: {error}"))
    }
}

impl From<NoTerminal> for Report {
    fn from(error: NoTerminal) -> Self {
        Self::of(Exit::Failure, &error).hint("use `--progress plain`")
    }
}

#[cfg(test)]
mod tests {
    use engine::BuildError;
    use engine::containers::ContainerError;

    use super::*;

    #[test]
    fn a_full_disk_comes_with_advice() {
        let report = Report::of_store(&io::Error::from_raw_os_error(28));
        insta::assert_snapshot!(report.text(), @r"
        ERROR: No space left on device (os error 28)
        hint: make room, for example with `slipway image prune`, or put the store elsewhere with `--root DIR`; nothing that was finished is lost
        ");
        assert_eq!(report.exit.code(), 71);
    }

    #[test]
    fn excerpts_come_before_the_error() {
        let rendered = vec!["error: no stage named `biuld`\n --> Dockerfile:7:13\n".to_owned()];
        let report = Report::from(BuildError::Dockerfile { rendered });
        insta::assert_snapshot!(report.text(), @r"
        error: no stage named `biuld`
         --> Dockerfile:7:13

        ERROR: the Dockerfile has 1 error
        ");
    }

    #[test]
    fn codes_of_run_leave_those_of_the_command_alone() {
        let error = || ContainerError::NoCommand { image: "x".into() };
        assert_eq!(Report::from(error()).of_run().exit.code(), 125);
        assert_eq!(Report::mistake("x").of_run().exit.code(), 125);
    }
}
