//! Places that keep bytes under names, and know nothing of manifests.

use std::sync::Arc;

use cache::Store;
use image::{Descriptor, Digest};

use super::RemoteCacheError;
use super::actions::Actions;
use super::objects::Objects;

/// Such a place. The catalogue is under a name, blobs are under their digests.
pub(crate) enum Keyed {
    /// An object store.
    Objects(Objects),
    /// The cache service of GitHub Actions.
    Actions(Actions),
}

impl Keyed {
    /// What changes when somebody writes the catalogue; none when there is none.
    pub(super) async fn version(&self) -> Result<Option<Digest>, RemoteCacheError> {
        match self {
            Self::Objects(objects) => objects.version().await,
            Self::Actions(actions) => actions.version().await,
        }
    }

    /// The bytes of the catalogue, with its version.
    pub(super) async fn catalogue(&self) -> Result<Option<(Digest, Vec<u8>)>, RemoteCacheError> {
        match self {
            Self::Objects(objects) => objects.catalogue().await,
            Self::Actions(actions) => actions.catalogue().await,
        }
    }

    /// Brings a blob into the store, verified.
    pub(super) async fn fetch(&self, store: &Arc<Store>, blob: &Descriptor) -> Result<(), RemoteCacheError> {
        match self {
            Self::Objects(objects) => objects.fetch(store, blob).await,
            Self::Actions(actions) => actions.fetch(store, blob).await,
        }
    }

    /// Whether a blob need not be sent.
    pub(super) async fn has(&self, blob: &Descriptor) -> Result<bool, RemoteCacheError> {
        match self {
            Self::Objects(objects) => objects.has(blob).await,
            Self::Actions(actions) => actions.has(blob).await,
        }
    }

    /// Sends a blob of the store, also when one is there that has its name, where that is possible.
    pub(super) async fn send(&self, store: &Arc<Store>, blob: &Descriptor) -> Result<(), RemoteCacheError> {
        match self {
            Self::Objects(objects) => objects.send(store, blob).await,
            Self::Actions(actions) => actions.send(store, blob).await,
        }
    }

    /// Whether a blob that was sent is what is there.
    pub(super) async fn verify(&self, blob: &Descriptor) -> Result<(), RemoteCacheError> {
        match self {
            // What was written is there.
            Self::Objects(_) => Ok(()),
            Self::Actions(actions) => actions.verify(blob).await,
        }
    }

    /// Makes these bytes the catalogue. Its blobs are there already.
    pub(super) async fn publish(&self, bytes: Vec<u8>) -> Result<(), RemoteCacheError> {
        match self {
            Self::Objects(objects) => objects.publish(bytes).await,
            Self::Actions(actions) => actions.publish(bytes).await,
        }
    }

    /// Makes the place for a cache that is not there yet, where that is up to us.
    pub(super) async fn prepare(&self) -> Result<(), RemoteCacheError> {
        match self {
            Self::Objects(objects) => objects.prepare().await,
            Self::Actions(_) => Ok(()),
        }
    }

    /// Keeps blobs that a build uses from being removed for their age, where they would be.
    pub(super) async fn renew(
        &self,
        blobs: impl IntoIterator<Item = Descriptor>,
    ) -> Result<(), RemoteCacheError> {
        match self {
            Self::Objects(objects) => objects.renew(blobs).await,
            // The service goes by the last use.
            Self::Actions(_) => Ok(()),
        }
    }
}
