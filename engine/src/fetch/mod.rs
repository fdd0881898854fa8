//! Brings files from elsewhere into the store.

mod error;
mod http;

pub use error::FetchError;
pub(crate) use http::{RemoteFile, file, pinned_identity};

/// Told how much of something is here, in bytes, and how much there is in all.
pub(crate) type OnBytes<'a> = &'a (dyn Fn(u64, Option<u64>) + Sync);
