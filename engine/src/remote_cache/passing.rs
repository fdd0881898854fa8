//! Blobs that only pass through the store.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use cache::Store;
use image::{BlobDigest, Descriptor};

use super::{Depot, RemoteCacheError};
use crate::blocking::blocking;

/// Blobs that a task brings into the store, and that leave it with the task, however that ends. What was there before
/// belongs to somebody else, whatever a catalogue says of it, and stays.
pub(super) struct Passing {
    store: Arc<Store>,
    brought: Mutex<BTreeSet<BlobDigest>>,
}

impl Passing {
    pub(super) fn new(store: &Arc<Store>) -> Self {
        Self { store: store.clone(), brought: Mutex::default() }
    }

    /// Brings a blob, unless it is there. One that is damaged comes again.
    pub(super) async fn bring(&self, depot: &Depot, blob: &Descriptor) -> Result<(), RemoteCacheError> {
        if self.store.open_blob(&blob.digest)?.is_none() {
            depot.fetch(&self.store, blob).await?;
            self.lock().insert(blob.digest);
            return Ok(());
        }
        if is_damaged(&self.store, blob.digest).await? {
            depot.fetch(&self.store, blob).await?;
        }
        Ok(())
    }

    /// Keeps bytes, unless they are there.
    pub(super) fn put(&self, bytes: &[u8]) -> Result<BlobDigest, cache::StoreError> {
        let is_there = self.store.open_blob(&BlobDigest(image::Digest::of(bytes)))?.is_some();
        let digest = self.store.put_blob(bytes)?;
        if !is_there {
            self.lock().insert(digest);
        }
        Ok(digest)
    }

    /// It is of use here, and stays.
    pub(super) fn keep(&self, digest: &BlobDigest) {
        self.lock().remove(digest);
    }

    /// It is of no use any more, and goes if it came now.
    pub(super) fn let_go(&self, digest: &BlobDigest) -> Result<(), cache::StoreError> {
        if self.lock().remove(digest) {
            self.store.remove_blob(digest)?;
        }
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, BTreeSet<BlobDigest>> {
        self.brought.lock().expect("no holder of the lock panics")
    }
}

impl Drop for Passing {
    fn drop(&mut self) {
        for digest in std::mem::take(&mut *self.lock()) {
            // Best effort: a blob that nothing points at only costs disk, and the collector removes it.
            if let Err(error) = self.store.remove_blob(&digest) {
                tracing::warn!(%error, "cannot remove a blob that is of no use any more");
            }
        }
    }
}

/// Whether a blob of the store was damaged. Then it is gone.
async fn is_damaged(store: &Arc<Store>, digest: BlobDigest) -> Result<bool, cache::StoreError> {
    let store = store.clone();
    blocking(move || store.remove_damaged_blob(&digest)).await
}
