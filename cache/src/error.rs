//! What can go wrong with the store.

use std::io;
use std::path::PathBuf;

use image::{BlobDigest, DiffId};

use crate::{LayerId, layer};

/// Why the store could not do its work.
///
/// Damaged files are not in this list: they are misses, logged in one line.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The store was written by a later version of slipway; it is left as it is.
    #[error(
        "the store `{}` has format {found}, this slipway knows formats up to {known}; use a newer slipway, or another store with --root",
        path.display()
    )]
    Newer {
        /// Root of the store.
        path: PathBuf,
        /// Format number found there.
        found: u32,
        /// Newest format number known here.
        known: u32,
    },
    /// The directory holds something else, and nothing was created in it.
    #[error("`{}` is not empty and not a slipway store", path.display())]
    NotAStore {
        /// The directory.
        path: PathBuf,
    },
    /// A file or directory of the store cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// What was read.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file or directory of the store cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// What was written.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The file system cannot make what was written durable.
    #[error("cannot write `{}` through to the disk", path.display())]
    Sync {
        /// What was synced.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A lock cannot be taken.
    #[error("cannot lock `{}`", path.display())]
    Lock {
        /// The lock's file.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// The bytes to be stored cannot be read from where they come from.
    #[error("cannot read the incoming bytes")]
    Input {
        /// What the source said.
        source: io::Error,
    },
    /// Incoming bytes are not the ones that were promised.
    #[error("content has digest {actual}, expected {expected}")]
    WrongDigest {
        /// Promised digest.
        expected: BlobDigest,
        /// Digest of what came.
        actual: BlobDigest,
    },
    /// Incoming bytes are fewer or more than were promised.
    #[error("content has {actual} bytes, expected {expected}")]
    WrongSize {
        /// Promised size in bytes.
        expected: u64,
        /// Size of what came, or where reading stopped because it is too long.
        actual: u64,
    },
    /// Bytes are longer than the caller allows.
    #[error("content is larger than {size_bytes_max} bytes")]
    TooLarge {
        /// The caller's limit.
        size_bytes_max: u64,
    },
    /// A layer's tar is not the one that was promised.
    #[error("layer has diff id {actual}, expected {expected}")]
    WrongDiffId {
        /// Promised diff id.
        expected: DiffId,
        /// Diff id of the bytes.
        actual: DiffId,
    },
    /// The layer is not in the store.
    #[error("layer {id} is not in the store")]
    NoLayer {
        /// Its id.
        id: LayerId,
    },
    /// The blob is not in the store.
    #[error("blob {digest} is not in the store")]
    NoBlob {
        /// Its digest.
        digest: BlobDigest,
    },
    /// A layer's tar cannot be unpacked.
    #[error(transparent)]
    Apply(#[from] layer::ApplyError),
    /// A layer's directory cannot be read as a tar.
    #[error(transparent)]
    Tar(#[from] layer::WriteError),
    /// A layer that is kept as one file cannot become a directory.
    #[error("cannot unpack layer {id}")]
    Unpack {
        /// Its id.
        id: LayerId,
        /// What went wrong.
        source: Box<crate::tree::UnpackError>,
    },
    /// The kernel does not stack that many layers.
    #[error("{layers} layers are more than the {max} that overlayfs stacks")]
    TooManyLayers {
        /// Length of the chain.
        layers: usize,
        /// The kernel's limit.
        max: usize,
    },
    /// The merged view of a chain of layers cannot be mounted.
    #[error("{call} for a view of {layers} layers")]
    View {
        /// The system call with its arguments.
        call: String,
        /// Length of the chain.
        layers: usize,
        /// The kernel's answer.
        source: io::Error,
    },
}

impl StoreError {
    /// Whether the kernel refuses a chain of layers for its length alone.
    pub fn is_too_deep(&self) -> bool {
        matches!(self, Self::TooManyLayers { .. })
    }
}
