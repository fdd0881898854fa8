//! Why files from elsewhere cannot be had.

use cache::StoreError;

use super::GitError;
use crate::AgentError;
use crate::net::{Fault, HttpError};

/// Why files from elsewhere cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// An HTTP server.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A git repository.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The agent that signs for git.
    #[error("the agent for ssh cannot be used")]
    Agent(#[from] AgentError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FetchError {
    /// Whether the same question may be answered later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            Self::Http(error) => error.may_pass(),
            Self::Git(error) => error.may_pass(),
            Self::Agent(_) | Self::Store(_) => false,
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Http(error) => error.fault(),
            Self::Git(error) => error.fault(),
            Self::Agent(_) => Fault::User,
            Self::Store(_) => Fault::Machine,
        }
    }
}
