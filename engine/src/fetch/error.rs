//! Why files from elsewhere cannot be had.

use cache::StoreError;

use crate::net::{Fault, HttpError};

/// Why files from elsewhere cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    /// An HTTP server.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FetchError {
    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Http(error) => error.fault(),
            Self::Store(_) => Fault::Machine,
        }
    }
}
