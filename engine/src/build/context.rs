//! Brings the build context to where it can be read.

use std::os::fd::AsFd as _;

use cache::layer::{Limits, decompress, unpack_archive};
use cache::{ActiveLayer, Store};

use crate::blocking::blocking;
use crate::context::ContextRoot;
use crate::steps::Steps;
use crate::{BuildError, ByteStream, Context, Engine, Progress};

/// In every store, see `cache::Store`.
const EMPTY_DIRECTORY: &str = "empty";
/// Everything in a context belongs to root, whoever owns it elsewhere.
const CONTEXT_OWNER: (u32, u32) = (0, 0);
/// As BuildKit's progress calls it.
const LOAD_REMOTE: &str = "[internal] load remote build context";

/// A build context that has been brought here. The files of a context that came from elsewhere are there until
/// this is dropped.
#[derive(Debug, Clone)]
pub struct FetchedContext(pub(super) ContextRoot);

impl FetchedContext {
    /// A context that is at hand, for questions that need no store; none for others.
    pub fn at_hand(context: &Context) -> Option<Self> {
        match context {
            Context::Directory(path) => Some(Self(ContextRoot::own(path.clone()))),
            Context::Empty => Some(Self(ContextRoot::empty(EMPTY_DIRECTORY.into()))),
            Context::Archive(_) => None,
        }
    }
}

impl Engine {
    /// Brings a build context to where it can be read.
    ///
    /// # Errors
    ///
    /// When it cannot be had, or is no archive of files.
    pub async fn fetch_context(
        &self,
        context: &Context,
        progress: Progress,
    ) -> Result<FetchedContext, BuildError> {
        self.context_root(context, &Steps::new(progress)).await.map(FetchedContext)
    }

    pub(super) async fn context_root(
        &self,
        context: &Context,
        steps: &Steps,
    ) -> Result<ContextRoot, BuildError> {
        match context {
            Context::Directory(path) => Ok(ContextRoot::own(path.clone())),
            Context::Empty => Ok(ContextRoot::empty(self.root().join(EMPTY_DIRECTORY))),
            Context::Archive(stream) => {
                let (store, stream) = (self.store.clone(), stream.clone());
                let unpacked = steps.during(LOAD_REMOTE, blocking(move || unpack(&store, stream))).await?;
                Ok(ContextRoot::passing(unpacked))
            }
        }
    }
}

/// Unpacks a tar into a layer that is not part of the store.
fn unpack(store: &Store, stream: ByteStream) -> Result<ActiveLayer, BuildError> {
    let limits = Limits::default();
    let layer = store.begin_layer()?;
    let mut tar = decompress(stream, &limits).map_err(|source| BuildError::ContextStream { source })?;
    unpack_archive(&mut *tar, layer.open()?.as_fd(), Some(CONTEXT_OWNER), &limits)
        .map_err(|source| BuildError::ContextArchive { source })?;
    Ok(layer)
}
