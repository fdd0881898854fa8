//! Why files of a tree cannot be selected or copied.

use std::io;

use crate::ContextError;
use crate::layer::read::text;
use crate::layer::work::WorkError;
use crate::layer::{ApplyError, CopyError, MakeError, PlaceError};

/// Why files cannot be selected, digested or copied.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// A source that does not exist; the wording is Docker's.
    #[error("\"{path}\": not found")]
    NotFound {
        /// The source, absolute.
        path: String,
    },
    /// A pattern that Go's `filepath.Match` does not accept.
    #[error("`{pattern}` is not a valid pattern")]
    BadPattern {
        /// The source as written.
        pattern: String,
    },
    /// A source that goes through too many symlinks.
    #[error("`{path}` goes through more than {max} symlinks")]
    TooManySymlinks {
        /// The source as written.
        path: String,
        /// The limit.
        max: usize,
    },
    /// A directory, or something to be put into one, where there is no directory.
    #[error("cannot copy to non-directory: /{path}")]
    NotADirectory {
        /// Where it would land.
        path: String,
    },
    /// Something else where the content of a directory is wanted.
    #[error("`{path}` is not a directory")]
    NoDirectory {
        /// The path as written.
        path: String,
    },
    /// A file where there is a directory.
    #[error("cannot replace the directory /{path} with a file")]
    IsADirectory {
        /// Where it would land.
        path: String,
    },
    /// All files.
    #[error("`{path}` cannot be removed")]
    Root {
        /// The path as written.
        path: String,
    },
    /// Something that is there already.
    #[error("`{path}` exists already")]
    Exists {
        /// The path as written.
        path: String,
    },
    /// A file of the source tree cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// The path in the source tree.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// A file cannot be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// A file of the layer cannot be made.
    #[error(transparent)]
    Place(PlaceError),
    /// An archive cannot be unpacked.
    #[error("cannot unpack `{path}`")]
    Archive {
        /// The archive.
        path: String,
        /// What is wrong.
        #[source]
        source: ApplyError,
    },
    /// The build context cannot be read.
    #[error(transparent)]
    Context(#[from] ContextError),
}

impl TreeError {
    pub(crate) fn read(path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Read { path: text(path), source: source.into() }
    }
}

impl From<PlaceError> for TreeError {
    fn from(error: PlaceError) -> Self {
        match error {
            PlaceError::NotADirectory { path } => Self::NotADirectory { path },
            error => Self::Place(error),
        }
    }
}

impl From<MakeError> for TreeError {
    fn from(error: MakeError) -> Self {
        Self::Place(error.into())
    }
}

impl From<WorkError> for TreeError {
    fn from(error: WorkError) -> Self {
        match error {
            WorkError::Make(error) => error.into(),
            WorkError::Copy(error) => error.into(),
        }
    }
}
