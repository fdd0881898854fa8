//! The build context, wherever it comes from.

mod root;
mod stream;

use std::fmt;
use std::path::PathBuf;

pub(crate) use root::{ContextRoot, Index};
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
}

impl Context {
    /// Whether it can be read without a store.
    pub fn is_at_hand(&self) -> bool {
        match self {
            Self::Directory(_) | Self::Empty => true,
            Self::Archive(_) => false,
        }
    }
}

/// As people know it.
impl fmt::Display for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => write!(f, "{}", path.display()),
            Self::Empty | Self::Archive(_) => f.write_str("standard input"),
        }
    }
}
