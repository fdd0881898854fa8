//! The layers of an image: downloaded and unpacked, several at a time.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use cache::{KeyLock, Layer, Store, StoreError};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use image::{BlobDigest, Descriptor, DiffId};
use registry::{Fetch, Repository};
use tokio::sync::Semaphore;

use super::sink::Growing;
use crate::blocking::blocking;
use crate::images::ImageError;
use crate::images::blob_source::remember;
use crate::images::error::{PullError, is_of_machine};
use crate::images::layer_blob::{is_needed, load_key};
use crate::images::transfer::{OnTransfer, Stage, Teller};

/// Layers that are on their way at the same time: enough that small ones do not leave the line idle.
const LAYERS_AT_ONCE_MAX: usize = 8;
/// Layers that are unpacked at the same time, at most. Each has threads of its own.
const UNPACKS_AT_ONCE_MAX: usize = 4;
/// How long to wait before asking again for a layer that another process fetches.
const CLAIM_POLL: Duration = Duration::from_millis(20);

/// A layer that an image needs.
#[derive(Clone)]
pub(super) struct Wanted {
    pub(super) diff_id: DiffId,
    /// How it travels.
    pub(super) blob: Descriptor,
}

/// What all layers of a pull share.
struct Pull<'a> {
    store: Arc<Store>,
    repository: &'a Repository,
    on_transfer: &'a OnTransfer,
    unpacks: Semaphore,
    /// Set when nobody waits any more.
    is_cancelled: Arc<AtomicBool>,
}

impl Drop for Pull<'_> {
    fn drop(&mut self) {
        self.is_cancelled.store(true, Ordering::Relaxed);
    }
}

/// Brings all layers into the store; each is there once, however often the image names it.
pub(super) async fn fetch_layers(
    store: &Arc<Store>,
    repository: &Repository,
    wanted: &[Wanted],
    on_transfer: &OnTransfer,
) -> Result<BTreeMap<DiffId, Layer>, ImageError> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let pull = Pull {
        store: store.clone(),
        repository,
        on_transfer,
        unpacks: Semaphore::new(cores.min(UNPACKS_AT_ONCE_MAX)),
        is_cancelled: Arc::default(),
    };
    let mut once: BTreeMap<DiffId, usize> = BTreeMap::new();
    for (at, wanted) in wanted.iter().enumerate() {
        once.entry(wanted.diff_id).or_insert(at);
    }
    let mut order: Vec<usize> = once.into_values().collect();
    order.sort_unstable();
    for at in &order {
        Teller::new(&wanted[*at].blob.digest.0, on_transfer).tell(Stage::Waiting);
    }
    stream::iter(order)
        .map(|at| pull.layer(&wanted[at]))
        .buffer_unordered(LAYERS_AT_ONCE_MAX)
        .try_collect()
        .await
}

impl Pull<'_> {
    async fn layer(&self, wanted: &Wanted) -> Result<(DiffId, Layer), ImageError> {
        let Wanted { diff_id, blob } = wanted;
        let teller = Teller::new(&blob.digest.0, self.on_transfer);
        if let Some(layer) = self.store.layer_by_diff_id(diff_id)? {
            remember(&self.store, &blob.digest, self.repository)?;
            teller.tell(Stage::Present);
            return Ok((*diff_id, layer));
        }
        // Two pulls at a time download and unpack once.
        let _claim = self.claim(diff_id).await?;
        if let Some(layer) = self.store.layer_by_diff_id(diff_id)? {
            teller.tell(Stage::Present);
            return Ok((*diff_id, layer));
        }
        let was_there = self.store.open_blob(&blob.digest)?.is_some();
        let layer = if was_there {
            match self.unpack(wanted, &teller).await {
                // What is in the store may be damaged: then it comes again. A manifest can say of any blob that it is a
                // layer, so one that is whole stays.
                Err(ImageError::Pull(PullError::Layer { .. })) if self.was_damaged(blob.digest).await? => {
                    self.download_and_unpack(wanted, &teller).await
                }
                other => other,
            }
        } else {
            self.download_and_unpack(wanted, &teller).await
        };
        let keeps = match &layer {
            Ok(layer) => is_needed(layer, *diff_id, &blob.digest)?,
            Err(_) => false,
        };
        if !keeps && !was_there {
            self.store.remove_blob(&blob.digest)?;
        }
        let layer = layer?;
        remember(&self.store, &blob.digest, self.repository)?;
        teller.tell(Stage::Pulled);
        Ok((*diff_id, layer))
    }

    /// Whether a blob of the store was damaged. Then it is gone.
    async fn was_damaged(&self, digest: BlobDigest) -> Result<bool, StoreError> {
        let store = self.store.clone();
        blocking(move || store.remove_damaged_blob(&digest)).await
    }

    async fn claim(&self, diff_id: &DiffId) -> Result<KeyLock, ImageError> {
        let key = load_key(diff_id);
        loop {
            if let Some(lock) = self.store.try_lock_key(&key)? {
                return Ok(lock);
            }
            tokio::time::sleep(CLAIM_POLL).await;
        }
    }

    async fn download_and_unpack(&self, wanted: &Wanted, teller: &Teller) -> Result<Layer, ImageError> {
        match self.download(&wanted.blob, Fetch::Ranges, teller).await {
            // Ranges that were put together wrongly look like this; all in one go is worth a try.
            Err(ImageError::Pull(PullError::Blob { source, .. }))
                if matches!(*source, StoreError::WrongDigest { .. }) =>
            {
                tracing::info!(digest = %wanted.blob.digest, "a layer had a wrong digest and comes again");
                self.download(&wanted.blob, Fetch::Whole, teller).await?;
            }
            other => other?,
        }
        teller.tell(Stage::Downloaded);
        self.unpack(wanted, teller).await
    }

    async fn download(&self, blob: &Descriptor, how: Fetch, teller: &Teller) -> Result<(), ImageError> {
        let (current, total) = (AtomicU64::new(0), blob.size_bytes);
        let on_bytes = |count| {
            let current = current.fetch_add(count, Ordering::Relaxed) + count;
            teller.tell(Stage::Downloading { current: current.min(total), total });
        };
        fetch_blob(&self.store, self.repository, blob, how, &on_bytes).await
    }

    async fn unpack(&self, wanted: &Wanted, teller: &Teller) -> Result<Layer, ImageError> {
        let _slot = self.unpacks.acquire().await.expect("nobody closes the slots");
        let (store, teller, is_cancelled) = (self.store.clone(), teller.clone(), self.is_cancelled.clone());
        let (digest, diff_id, total) = (wanted.blob.digest, wanted.diff_id, wanted.blob.size_bytes);
        let unpacked = blocking(move || {
            store.unpack_blob_while(&digest, diff_id, &mut |current| {
                if is_cancelled.load(Ordering::Relaxed) {
                    return Err(io::Error::other("nobody waits for it any more"));
                }
                teller.tell(Stage::Extracting { current, total });
                Ok(())
            })
        })
        .await;
        unpacked.map_err(|source| unusable(source, digest, diff_id))
    }
}

/// Brings one blob into the store, verified. `on_bytes` hears how many more bytes have come.
pub(crate) async fn fetch_blob(
    store: &Arc<Store>,
    repository: &Repository,
    blob: &Descriptor,
    how: Fetch,
    on_bytes: &(dyn Fn(u64) + Sync),
) -> Result<(), ImageError> {
    let active = Arc::new(store.begin_blob(blob.digest, blob.size_bytes)?);
    repository.fetch_blob(blob, how, &Growing(active.clone()), on_bytes).await?;
    let active = Arc::into_inner(active).expect("all writes have ended");
    let committed = blocking(move || active.commit()).await;
    committed.map(|_| ()).map_err(|source| match is_of_machine(&source) {
        true => source.into(),
        false => PullError::Blob { digest: blob.digest, source: Box::new(source) }.into(),
    })
}

/// Tells the layer's faults from those of this machine.
fn unusable(source: StoreError, digest: BlobDigest, diff_id: DiffId) -> ImageError {
    if is_of_machine(&source) {
        return source.into();
    }
    PullError::Layer { digest, diff_id, source: Box::new(source) }.into()
}
