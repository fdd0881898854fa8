//! What can go wrong with a repository.

use std::io;
use std::time::Duration;

use crate::net::{Fault, status_may_pass};

/// What git says in front of the status of an answer.
const STATUS: &str = "returned error: ";
/// Digits of a status.
const STATUS_DIGITS: usize = 3;

/// What git says of servers and of this machine that will be so the next time as well.
const WORDS_THAT_STAY: [&str; 4] = ["certificate", "not allowed", "remote helper", "No space left"];

/// Why the files of a repository cannot be had. Remotes are without their passwords.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git.
    #[error("git is not installed, and `{remote}` is a git repository")]
    NotInstalled {
        /// What was to be fetched.
        remote: String,
    },
    /// Git does not start.
    #[error("cannot start git")]
    Start {
        /// The cause.
        source: io::Error,
    },
    /// Git takes too long.
    #[error("`git {command}` for `{remote}` takes longer than {} seconds", time_max.as_secs())]
    Slow {
        /// What git was doing.
        command: &'static str,
        /// For which repository.
        remote: String,
        /// The limit.
        time_max: Duration,
    },
    /// Git says more than any repository needs.
    #[error("`git {command}` for `{remote}` says more than {size_bytes_max} bytes")]
    TooMuch {
        /// What git was doing.
        command: &'static str,
        /// For which repository.
        remote: String,
        /// The limit.
        size_bytes_max: u64,
    },
    /// The server cannot be reached, or does not work.
    #[error("cannot reach `{remote}`: {said}")]
    Unreachable {
        /// The repository.
        remote: String,
        /// What git says about it.
        said: String,
    },
    /// The server does not let us in, or there is no such repository.
    #[error("`{remote}` cannot be read: {said}")]
    Refused {
        /// The repository.
        remote: String,
        /// What git says about it.
        said: String,
    },
    /// There is no such branch or tag.
    #[error("`{remote}` has no branch or tag `{reference}`")]
    NoReference {
        /// The repository.
        remote: String,
        /// What was looked for.
        reference: String,
    },
    /// There is nothing in the repository.
    #[error("`{remote}` has no commit yet")]
    Empty {
        /// The repository.
        remote: String,
    },
    /// There is no such commit.
    #[error("`{remote}` has no commit {commit}")]
    NoCommit {
        /// The repository.
        remote: String,
        /// What was looked for.
        commit: String,
    },
    /// It is another commit.
    #[error("`{remote}` has commit {actual}, expected {expected}")]
    Checksum {
        /// The repository.
        remote: String,
        /// What was asked for.
        expected: String,
        /// What is there.
        actual: String,
    },
    /// There is no such directory.
    #[error("`{remote}` has no directory `{path}`")]
    NoDirectory {
        /// The repository.
        remote: String,
        /// The path in it.
        path: String,
    },
    /// A submodule that cannot be one.
    #[error("`{remote}` has the submodule `{path}`, which cannot be fetched: {what}")]
    Submodule {
        /// The repository.
        remote: String,
        /// The path in it.
        path: String,
        /// What is wrong.
        what: String,
    },
    /// Git does not accept what is in the repository.
    #[error("`git {command}` for `{remote}` failed: {said}")]
    Failed {
        /// What git was doing.
        command: &'static str,
        /// For which repository.
        remote: String,
        /// What git says about it.
        said: String,
    },
    /// The files cannot be written.
    #[error("cannot write the files of `{remote}`")]
    Write {
        /// The repository.
        remote: String,
        /// The cause.
        source: io::Error,
    },
}

impl GitError {
    /// Whether the same question may be answered later: the network or the server does not work just now.
    pub(crate) fn may_pass(&self) -> bool {
        let Self::Unreachable { said, .. } = self else { return false };
        let status = said.split_once(STATUS).and_then(|(_, rest)| rest.get(..STATUS_DIGITS)?.parse().ok());
        match status {
            Some(status) => status_may_pass(status),
            None => !WORDS_THAT_STAY.iter().any(|words| said.contains(words)),
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Slow { .. } | Self::Unreachable { .. } => Fault::Network,
            Self::Start { .. } | Self::Write { .. } => Fault::Machine,
            Self::NotInstalled { .. }
            | Self::TooMuch { .. }
            | Self::Refused { .. }
            | Self::NoReference { .. }
            | Self::Empty { .. }
            | Self::NoCommit { .. }
            | Self::Checksum { .. }
            | Self::NoDirectory { .. }
            | Self::Submodule { .. }
            | Self::Failed { .. } => Fault::User,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_network_does_may_pass() {
        let unreachable =
            |said: &str| GitError::Unreachable { remote: "r".to_owned(), said: said.to_owned() };
        for (said, expected) in [
            ("unable to access 'http://h/a.git/': The requested URL returned error: 503", true),
            ("RPC failed; HTTP 429 curl 22 The requested URL returned error: 429; early EOF", true),
            ("unable to access 'http://h/a.git/': The requested URL returned error: 403", false),
            ("unable to access 'http://h/a.git/': Failed to connect to h port 80: Connection refused", true),
            ("unable to access 'http://h/a.git/': Empty reply from server", true),
            ("unable to access 'https://h/a.git/': SSL certificate problem: self-signed certificate", false),
            ("transport 'ext' not allowed", false),
        ] {
            assert_eq!(unreachable(said).may_pass(), expected, "{said}");
        }
        assert!(!GitError::Refused { remote: "r".to_owned(), said: "not found".to_owned() }.may_pass());
    }
}
