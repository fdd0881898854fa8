//! Commits of git repositories, with the host's git.
//!
//! What a repository says is not to be trusted, and git does much for those who trust it. So git runs with an
//! environment of its own, in which no file of the user and of the system counts, with a list of the transports that
//! it may use, and only for commands that run nothing: `ls-remote`, `fetch`, `read-tree`, `checkout-index` and
//! questions. Submodules are ours: git is asked what the commit says of them, and each is fetched like its parent.

mod auth;
mod command;
mod error;
mod files;
mod history;
mod layer;
mod refs;
mod repository;
mod submodules;

use std::path::PathBuf;

use graph::GitSource;
use image::{Digest, Hasher};

pub(crate) use auth::{Credentials, HEADER, TOKEN};
pub use error::GitError;
pub(crate) use layer::layer;
pub(crate) use refs::resolve;

/// How repositories are reached.
#[derive(Debug, Clone, Default)]
pub(crate) struct GitAccess {
    /// Proxy variables of the caller.
    pub(crate) proxy_env: Vec<(String, String)>,
    /// What servers of HTTP get to see.
    pub(crate) credentials: Credentials,
    /// Signs for servers of ssh.
    pub(crate) agent: Option<PathBuf>,
}

/// A commit, and what it was found by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Commit {
    /// All hex digits of its name.
    pub(crate) name: String,
    /// The full name of the branch or tag, if it was found by one.
    pub(crate) reference: Option<String>,
}

impl Commit {
    /// Equal commits have equal files, wherever they are from.
    pub(crate) fn identity(&self) -> Digest {
        Hasher::new("git-commit/v1").field("commit", &self.name).finish()
    }
}

/// The commit that a source names without anybody being asked.
pub(crate) fn named_commit(source: &GitSource) -> Option<Commit> {
    if let (true, Some(name)) = (source.fetch_by_commit, &source.checksum) {
        let reference = Some(source.reference.clone()).filter(|name| name.starts_with("refs/"));
        return Some(Commit { name: name.clone(), reference });
    }
    let name = &source.reference;
    // Of SHA-1 and of SHA-256.
    let is_whole = matches!(name.len(), 40 | 64);
    let is_name = name.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte));
    (is_whole && is_name).then(|| Commit { name: name.clone(), reference: None })
}
