//! A remote cache in the cache service of GitHub Actions, under the keys of BuildKit. Entries never change there: each
//! catalogue has a number, and the youngest counts.

mod place;
mod service;

use std::fs::File;
use std::io;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use cache::Store;
use futures_util::stream::{BoxStream, StreamExt as _, TryStreamExt as _};
use image::{Descriptor, Digest, Sha256};

use super::RemoteCacheError;
use super::depot::{BLOB_BYTES_MAX, CATALOGUE_BYTES_MAX};
use super::transfer::{document, part, receive};
pub use place::{ActionsPlace, ActionsToken};
use service::{Entry, Service, broken};

/// Larger entries are sent in blocks of this size, of which Azure takes 50 000.
const BLOCK_BYTES: u64 = 8 << 20;
/// How often another number is taken for a catalogue since somebody else has the next one.
const NUMBERS_MAX: u64 = 8;

/// A cache in the service.
pub(crate) struct Actions {
    service: Service,
    place: ActionsPlace,
}

impl Actions {
    pub(super) fn new(place: &ActionsPlace) -> Result<Self, RemoteCacheError> {
        Ok(Self { service: Service::new(place)?, place: place.clone() })
    }

    /// What changes when somebody writes the catalogue; none when there is none.
    pub(super) async fn version(&self) -> Result<Option<Digest>, RemoteCacheError> {
        let found = self.service.look(&self.place.catalogue_key()).await?;
        Ok(found.map(|found| Digest::of(found.key.as_bytes())))
    }

    /// The bytes of the catalogue, with its version.
    pub(super) async fn catalogue(&self) -> Result<Option<(Digest, Vec<u8>)>, RemoteCacheError> {
        let Some(found) = self.service.look(&self.place.catalogue_key()).await? else { return Ok(None) };
        let bytes = document(self.stream(&found).await?, CATALOGUE_BYTES_MAX).await?;
        Ok(Some((Digest::of(found.key.as_bytes()), bytes)))
    }

    /// Brings a blob into the store, verified.
    pub(super) async fn fetch(&self, store: &Arc<Store>, blob: &Descriptor) -> Result<(), RemoteCacheError> {
        let found = self.find(blob).await?.ok_or(RemoteCacheError::Gone { digest: blob.digest })?;
        let (store, expected) = (store.clone(), Some((blob.digest, blob.size_bytes)));
        let write = move |from: &mut dyn io::Read| store.put_blob_from(from, expected, BLOB_BYTES_MAX);
        receive(self.stream(&found).await?, write).await?;
        Ok(())
    }

    /// Reads a blob, to see whether it is what its name says: what is there stays as it is.
    pub(super) async fn verify(&self, blob: &Descriptor) -> Result<(), RemoteCacheError> {
        let found = self.find(blob).await?.ok_or(RemoteCacheError::Gone { digest: blob.digest })?;
        let hash = |from: &mut dyn io::Read| {
            let mut hash = Sha256::new();
            io::copy(from, &mut hash).map_err(|source| cache::StoreError::Input { source })?;
            Ok(hash.finish())
        };
        let actual = receive(self.stream(&found).await?, hash).await?;
        let expected = blob.digest.0;
        if actual == expected { Ok(()) } else { Err(RemoteCacheError::WrongDigest { expected, actual }) }
    }

    /// Whether a blob is there.
    pub(super) async fn has(&self, blob: &Descriptor) -> Result<bool, RemoteCacheError> {
        Ok(self.find(blob).await?.is_some())
    }

    /// Sends a blob of the store, unless one is there that has its name.
    pub(super) async fn send(&self, store: &Arc<Store>, blob: &Descriptor) -> Result<(), RemoteCacheError> {
        let missing = || cache::StoreError::NoBlob { digest: blob.digest };
        let file = Arc::new(store.open_blob(&blob.digest)?.ok_or_else(missing)?);
        let key = ActionsPlace::blob_key(&blob.digest);
        let Some(url) = self.service.create(&key).await? else { return Ok(()) };
        match blob.size_bytes <= BLOCK_BYTES {
            true => self.put(&url, &part(&file, 0, blob.size_bytes).await?).await?,
            false => self.put_blocks(&url, &file, blob.size_bytes).await?,
        }
        self.service.finish(&key, blob.size_bytes).await
    }

    /// Makes these bytes the catalogue. Its blobs are there already.
    pub(super) async fn publish(&self, bytes: Vec<u8>) -> Result<(), RemoteCacheError> {
        let (prefix, bytes) = (self.place.catalogue_key(), Bytes::from(bytes));
        let found = self.service.look(&prefix).await?;
        let number = found.and_then(|found| found.key.strip_prefix(&prefix)?.parse::<u64>().ok());
        for number in (number.unwrap_or(0) + 1..).take(NUMBERS_MAX as usize) {
            let key = format!("{prefix}{number}");
            // Somebody else is writing, or has died while it did.
            let Some(url) = self.service.create(&key).await? else { continue };
            self.put(&url, &bytes).await?;
            return self.service.finish(&key, bytes.len() as u64).await;
        }
        Err(RemoteCacheError::Refused { request: "a new catalogue" })
    }

    async fn find(&self, blob: &Descriptor) -> Result<Option<Entry>, RemoteCacheError> {
        self.service.look(&ActionsPlace::blob_key(&blob.digest)).await
    }

    async fn stream(
        &self,
        entry: &Entry,
    ) -> Result<BoxStream<'static, Result<Bytes, RemoteCacheError>>, RemoteCacheError> {
        let (answer, service) = (self.service.get(&entry.url).await?, self.place.url.clone());
        Ok(answer.bytes_stream().map_err(move |error| broken(&service, error)).boxed())
    }

    async fn put(&self, url: &str, bytes: &Bytes) -> Result<(), RemoteCacheError> {
        self.service.put(url, Some(("x-ms-blob-type", "BlockBlob")), bytes).await
    }

    /// Sends a large entry block by block, in the protocol of Azure's blobs.
    async fn put_blocks(&self, url: &str, file: &Arc<File>, size_bytes: u64) -> Result<(), RemoteCacheError> {
        let mut list = String::from("<?xml version=\"1.0\" encoding=\"utf-8\"?><BlockList>");
        for (number, offset) in (0..size_bytes).step_by(BLOCK_BYTES as usize).enumerate() {
            // Names of blocks are of one length.
            let name = STANDARD.encode(format!("{number:08}"));
            let block = part(file, offset, BLOCK_BYTES.min(size_bytes - offset)).await?;
            let query = format!("comp=block&blockid={}", name.replace('=', "%3D"));
            self.service.put(&with_query(url, &query), None, &block).await?;
            list += &format!("<Latest>{name}</Latest>");
        }
        list += "</BlockList>";
        self.service.put(&with_query(url, "comp=blocklist"), None, &Bytes::from(list)).await
    }
}

fn with_query(url: &str, query: &str) -> String {
    format!("{url}{}{query}", if url.contains('?') { '&' } else { '?' })
}
