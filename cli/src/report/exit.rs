//! The exit codes.

use std::process::ExitCode;

/// Why the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// All went well.
    Success,
    /// The user's mistake, or a step of a build that failed.
    Failure,
    /// A template that is none, as in Docker.
    Template,
    /// The network's fault, EX_UNAVAILABLE of sysexits.h.
    Network,
    /// Our own mistake, EX_SOFTWARE.
    Software,
    /// The machine's: a call that the kernel refused, a full disk. EX_OSERR.
    Machine,
    /// `run` did not come to start a container.
    NotStarted,
    /// The command of `run` cannot be executed.
    NotExecutable,
    /// The command of `run` is not in the image.
    NotFound,
    /// Ctrl-C or a signal to end.
    Interrupted,
    /// Nobody reads our output any more, as if SIGPIPE had ended us.
    BrokenPipe,
    /// What the command of `run` ended with.
    Command(u8),
}

/// Every code with its meaning, for the help.
const CODES: [(Exit, &str); 9] = [
    (Exit::Success, "success"),
    (
        Exit::Failure,
        "a mistake in the arguments or the Dockerfile, something that is not there, or a failing step",
    ),
    (Exit::Template, "a mistake in the template of --format"),
    (Exit::Network, "the network's fault"),
    (Exit::Software, "a mistake in slipway"),
    (Exit::Machine, "the machine refused: a full disk, no user namespaces, a store that cannot be used"),
    (Exit::NotStarted, "`run`: the container was not started"),
    (
        Exit::NotExecutable,
        "`run`: the command cannot be executed (127: it is not in the image); else its own code",
    ),
    (Exit::Interrupted, "interrupted by Ctrl-C or SIGTERM"),
];

impl Exit {
    /// The exit code.
    pub(crate) fn code(self) -> u8 {
        match self {
            Self::Success => 0,
            Self::Failure => 1,
            Self::Template => 64,
            Self::Network => 69,
            Self::Software => 70,
            Self::Machine => 71,
            Self::NotStarted => 125,
            Self::NotExecutable => 126,
            Self::NotFound => 127,
            Self::Interrupted => 130,
            Self::BrokenPipe => 141,
            Self::Command(code) => code,
        }
    }

    /// The table of exit codes, and where to read on.
    pub(crate) fn help() -> String {
        let mut text = "Exit codes:\n".to_owned();
        for (exit, meaning) in CODES {
            text += &format!("  {:<4} {meaning}\n", exit.code());
        }
        text + "\nRun 'slipway COMMAND --help' for more information on a command."
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_names_every_code_once() {
        let mut codes: Vec<u8> = CODES.iter().map(|(exit, _)| exit.code()).collect();
        let count = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), count);
        assert!(codes.is_sorted());
    }
}
