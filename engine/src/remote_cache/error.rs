//! What can be wrong with a remote cache.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use image::Digest;
use registry::RegistryError;

use super::CatalogueError;
use crate::images::{ImageError, PullError};

/// Why a remote cache cannot be read or written. A build goes on without it.
#[derive(Debug, thiserror::Error)]
pub enum RemoteCacheError {
    /// A registry, or what it sends.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The store.
    #[error(transparent)]
    Store(#[from] cache::StoreError),
    /// The catalogue cannot be used.
    #[error("cannot use the catalogue")]
    Catalogue(#[from] CatalogueError),
    /// A document of the cache cannot be used.
    #[error("cannot use its manifest")]
    Manifest {
        /// The cause.
        #[from]
        source: image::ManifestError,
    },
    /// There is something else of this name.
    #[error("it is no cache: its config has the media type `{media_type}`")]
    NotACache {
        /// What it is.
        media_type: String,
    },
    /// A file of a cache in a directory cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file of a cache in a directory cannot be written.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Bytes are not those that were promised.
    #[error("a document has digest {actual}, expected {expected}")]
    WrongDigest {
        /// As promised.
        expected: Digest,
        /// As it is.
        actual: Digest,
    },
    /// A document is larger than any that we write.
    #[error("a document has {size_bytes} bytes, more than {size_bytes_max}")]
    TooLarge {
        /// Its size.
        size_bytes: u64,
        /// The limit.
        size_bytes_max: u64,
    },
    /// A cache mount cannot be taken.
    #[error("cannot take the cache mount")]
    Mount {
        /// The cause.
        source: cache::CacheMountError,
    },
    /// A cache mount is used by somebody else.
    #[error("the cache mount `{name}` is in use, and stays as it was in the cache")]
    MountInUse {
        /// Its name.
        name: String,
    },
    /// A cache mount is too large to travel.
    #[error("it has more than {size_bytes_max} bytes, {size_bytes} at least, and stays where it is")]
    MountTooLarge {
        /// How many were counted.
        size_bytes: u64,
        /// The limit.
        size_bytes_max: u64,
    },
    /// What was to be written has a secret of the build in it.
    #[error("it has a secret of the build in it, and is not written")]
    Secret,
    /// Others write the same cache all the time.
    #[error("others have written it {rounds} times in the meantime")]
    Busy {
        /// How often we tried.
        rounds: usize,
    },
    /// The object store, or what it answers.
    #[error(transparent)]
    Objects(Box<object_store::Error>),
    /// A server does not do what it is asked for.
    #[error("the server answers {request} with status {status}")]
    Answer {
        /// Of HTTP.
        status: u16,
        /// What it was asked for.
        request: &'static str,
    },
    /// A server does not do what it is asked for, and does not say why.
    #[error("the server refuses {request}")]
    Refused {
        /// What it was asked for.
        request: &'static str,
    },
    /// What a server answers is not of its protocol.
    #[error("the answer to {request} is not of its protocol")]
    NoAnswer {
        /// What it was asked for.
        request: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// A blob that should be there is not.
    #[error("blob {digest} is gone")]
    Gone {
        /// Which.
        digest: image::BlobDigest,
    },
    /// A text is no URL.
    #[error("`{url}` is not a valid URL")]
    Url {
        /// The text.
        url: String,
    },
    /// A server cannot be asked.
    #[error(transparent)]
    Http(#[from] crate::HttpError),
    /// It took too long.
    #[error("no answer within {} s", waited.as_secs_f32())]
    TimedOut {
        /// How long it was waited for.
        waited: Duration,
    },
}

impl From<RegistryError> for RemoteCacheError {
    fn from(error: RegistryError) -> Self {
        Self::Image(error.into())
    }
}

impl From<object_store::Error> for RemoteCacheError {
    fn from(error: object_store::Error) -> Self {
        Self::Objects(Box::new(error))
    }
}

impl RemoteCacheError {
    /// Whether the network or the other side is to blame.
    pub fn is_network(&self) -> bool {
        match self {
            Self::Image(error) => error.is_network(),
            Self::TimedOut { .. } | Self::Busy { .. } | Self::Objects(_) => true,
            Self::Answer { .. } | Self::Refused { .. } | Self::NoAnswer { .. } | Self::Gone { .. } => true,
            Self::Http(error) => error.fault() == crate::Fault::Network,
            _ => false,
        }
    }

    /// Whether one blob is to blame, which is gone or another one: the others of its cache may be what they should be.
    pub(super) fn is_of_one_blob(&self) -> bool {
        match self {
            Self::Store(_) | Self::Read { .. } | Self::Gone { .. } => true,
            Self::Image(ImageError::Pull(error)) => matches!(error, PullError::Blob { .. }),
            Self::Image(ImageError::Registry(error)) => {
                matches!(**error, RegistryError::NoBlob { .. } | RegistryError::WrongBlobSize { .. })
            }
            _ => false,
        }
    }

    /// With all of its causes, as one line.
    pub(crate) fn line(&self) -> String {
        let mut line = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            let text = error.to_string();
            // Some libraries repeat their causes.
            if !line.contains(&text) {
                line += &format!(": {text}");
            }
            cause = error.source();
        }
        line.replace('\n', " ")
    }
}
