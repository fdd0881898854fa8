//! A remote cache in an object store, laid out as BuildKit does it: the catalogue, within a cache configuration of
//! BuildKit, under a name, and blobs under their digests.

mod place;
mod prepare;
mod services;
mod upload;

use std::sync::Arc;

use bytes::Bytes;
use cache::Store;
use image::{Descriptor, Digest};
use object_store::path::Path;
use object_store::{ObjectMeta, ObjectStoreExt as _, PutPayload};
use tokio::sync::Semaphore;

use super::RemoteCacheError;
use super::depot::{BLOB_BYTES_MAX, CATALOGUE_BYTES_MAX};
use super::transfer::{document, receive};
pub use place::{ObjectPlace, ObjectService, ObjectSettings};
use services::Service;

/// A cache in an object store.
pub(crate) struct Objects {
    service: Service,
    place: ObjectPlace,
    slots: Semaphore,
}

impl Objects {
    pub(super) fn new(place: &ObjectPlace) -> Result<Self, RemoteCacheError> {
        let slots = Semaphore::new(place.uploads_max);
        Ok(Self { service: Service::new(place)?, place: place.clone(), slots })
    }

    fn path(prefix: &str, name: &str) -> Result<Path, RemoteCacheError> {
        let path = format!("{prefix}{name}");
        Path::parse(&path).map_err(|source| object_store::Error::InvalidPath { source }.into())
    }

    fn blob_path(&self, blob: &Descriptor) -> Result<Path, RemoteCacheError> {
        Self::path(&self.place.blobs_prefix, &blob.digest.to_string())
    }

    /// What changes when somebody writes the catalogue; none when there is none.
    pub(super) async fn version(&self) -> Result<Option<Digest>, RemoteCacheError> {
        for name in &self.place.names {
            let path = Self::path(&self.place.manifests_prefix, name)?;
            if let Some(found) = there(self.service.objects().head(&path).await)? {
                return Ok(Some(version(&found)));
            }
        }
        Ok(None)
    }

    /// The bytes of the catalogue, with its version.
    pub(super) async fn catalogue(&self) -> Result<Option<(Digest, Vec<u8>)>, RemoteCacheError> {
        for name in &self.place.names {
            let path = Self::path(&self.place.manifests_prefix, name)?;
            let Some(found) = there(self.service.objects().get(&path).await)? else { continue };
            let version = version(&found.meta);
            return Ok(Some((version, document(found.into_stream(), CATALOGUE_BYTES_MAX).await?)));
        }
        Ok(None)
    }

    /// Brings a blob into the store, verified.
    pub(super) async fn fetch(&self, store: &Arc<Store>, blob: &Descriptor) -> Result<(), RemoteCacheError> {
        let found = self.service.objects().get(&self.blob_path(blob)?).await?;
        let (store, expected) = (store.clone(), Some((blob.digest, blob.size_bytes)));
        let write = move |from: &mut dyn std::io::Read| store.put_blob_from(from, expected, BLOB_BYTES_MAX);
        receive(found.into_stream(), write).await?;
        Ok(())
    }

    /// Whether a blob is there, with as many bytes as it should have.
    pub(super) async fn has(&self, blob: &Descriptor) -> Result<bool, RemoteCacheError> {
        let found = there(self.service.objects().head(&self.blob_path(blob)?).await)?;
        Ok(found.is_some_and(|found| found.size == blob.size_bytes))
    }

    /// Sends a blob of the store.
    pub(super) async fn send(&self, store: &Arc<Store>, blob: &Descriptor) -> Result<(), RemoteCacheError> {
        let _slot = self.slots.acquire().await.expect("nobody closes the slots");
        let missing = || cache::StoreError::NoBlob { digest: blob.digest };
        let file = store.open_blob(&blob.digest)?.ok_or_else(missing)?;
        upload::send(self.service.objects(), &self.blob_path(blob)?, file, blob.size_bytes).await
    }

    /// Makes these bytes the catalogue. Its blobs are there already.
    pub(super) async fn publish(&self, bytes: Vec<u8>) -> Result<(), RemoteCacheError> {
        let bytes = Bytes::from(bytes);
        for name in &self.place.names {
            let path = Self::path(&self.place.manifests_prefix, name)?;
            self.service.objects().put(&path, PutPayload::from_bytes(bytes.clone())).await?;
        }
        Ok(())
    }
}

/// What is there, or none.
fn there<T>(found: object_store::Result<T>) -> Result<Option<T>, RemoteCacheError> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(object_store::Error::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What tells this state of an object from others.
fn version(found: &ObjectMeta) -> Digest {
    let time = || format!("{} {}", found.last_modified, found.size);
    Digest::of(found.e_tag.clone().unwrap_or_else(time).as_bytes())
}
