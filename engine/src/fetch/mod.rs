//! Brings files from elsewhere into the store.

mod access;
mod auth;
mod error;
mod git;
mod http;
mod patience;
pub(crate) mod secret_ids;

pub(crate) use access::Access;
pub use error::FetchError;
pub use git::GitError;
pub(crate) use git::{Commit, layer, named_commit, resolve};
pub(crate) use http::{RemoteFile, file, pinned_identity};

/// Told how much of something is here, in bytes, and how much there is in all.
pub(crate) type OnBytes<'a> = &'a (dyn Fn(u64, Option<u64>) + Sync);
