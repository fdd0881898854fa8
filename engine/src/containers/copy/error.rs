//! Why files were not copied, in Docker's words where scripts know them.

use std::io;
use std::path::{Path, PathBuf};

use rustix::io::Errno;

/// Why files were not copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A container has no such file.
    #[error("Could not find the file {path} in container {container}")]
    NotInContainer {
        /// As it was asked for.
        path: String,
        /// As it was asked for.
        container: String,
    },
    /// This machine has no such file.
    #[error("lstat {path}: no such file or directory")]
    NotHere {
        /// As it was asked for.
        path: String,
    },
    /// What is asked for makes no sense, or what is there is in the way.
    #[error("{0}")]
    Refused(String),
    /// The kernel refuses something with a file.
    #[error("`{}`", path.display())]
    File {
        /// The file, from the root of its tree.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
    /// The tar cannot be read or written.
    #[error("cannot read or write the archive")]
    Archive {
        /// The cause.
        source: io::Error,
    },
}

impl CopyError {
    pub(super) fn at(path: &Path, source: impl Into<io::Error>) -> Self {
        Self::File { path: path.to_owned(), source: source.into() }
    }

    /// For `map_err` after a system call.
    pub(super) fn call(path: &Path) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::at(path, errno)
    }
}
