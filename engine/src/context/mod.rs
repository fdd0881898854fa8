//! The build context, wherever it comes from.

mod client;
mod root;
mod stream;

use std::fmt;
use std::path::PathBuf;

use frontend::remote::{Remote, RemoteError, of_context};
use graph::{GitSource, HttpSource};

pub use client::{BringFiles, Bringing, ClientFiles, IgnoreText, OnBytes};
pub(crate) use root::{ContextRoot, Index, newest_unix_s};
pub(crate) use stream::is_archive;
pub use stream::{ByteStream, StreamContent};

/// The files that COPY and ADD read.
#[derive(Debug, Clone)]
pub enum Context {
    /// A directory of the user's, read in place.
    Directory(PathBuf),
    /// No files: the Dockerfile stands alone.
    Empty,
    /// A tar, compressed or not. Its files are there as long as the build.
    Archive(ByteStream),
    /// Files from elsewhere.
    Remote(RemoteFiles),
    /// Files that a client brings when they are needed.
    Client(ClientFiles),
}

/// Files from elsewhere.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFiles(pub(crate) Remote);

impl RemoteFiles {
    /// What a text names elsewhere: the URL of a file or of a git repository, in the forms of BuildKit; none for what
    /// can only be the path of a directory.
    ///
    /// # Errors
    ///
    /// When it is a URL that cannot be.
    pub fn parse(text: &str) -> Result<Option<Self>, RemoteError> {
        Ok(of_context(text).transpose()?.map(Self))
    }

    /// Whether it is a repository behind ssh, which needs an agent.
    pub fn needs_agent(&self) -> bool {
        match &self.0 {
            Remote::Http(_) => false,
            Remote::Git(git) => git.source.is_ssh(),
        }
    }
}

/// As people may see it.
impl fmt::Display for RemoteFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Remote::Http(HttpSource { url, .. }) => f.write_str(&graph::redacted(url)),
            Remote::Git(git) => {
                let GitSource { remote, reference, subdirectory, .. } = &git.source;
                f.write_str(&graph::redacted(remote))?;
                match (reference.is_empty(), subdirectory.is_empty()) {
                    (true, true) => Ok(()),
                    (false, true) => write!(f, "#{reference}"),
                    (_, false) => write!(f, "#{reference}:{subdirectory}"),
                }
            }
        }
    }
}

impl Context {
    /// Whether it can be read without a store.
    pub fn is_at_hand(&self) -> bool {
        match self {
            Self::Directory(_) | Self::Empty => true,
            Self::Archive(_) | Self::Remote(_) | Self::Client(_) => false,
        }
    }
}

/// As people know it.
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Empty | Self::Archive(_) => f.write_str("standard input"),
            Self::Remote(remote) => write!(f, "{remote}"),
            Self::Client(_) => f.write_str("the client's directory"),
        }
    }
}
