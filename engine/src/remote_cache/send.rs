//! Sends the layers of a remote cache that it does not have.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use image::{BlobDigest, Descriptor, DiffId};

use super::away::Origin;
use super::export::Ended;
use super::results::{Outcome, OwnLayer, Whereabouts};
use super::{Depot, RemoteCacheError};

/// Layers that are sent at the same time.
const LAYERS_AT_ONCE_MAX: usize = 5;

/// What is sent, and where to.
pub(super) struct Sending<'a> {
    pub(super) depot: &'a Depot,
    /// How each layer travels.
    pub(super) blobs: &'a HashMap<DiffId, Descriptor>,
    /// What the old catalogue names.
    pub(super) known: &'a BTreeMap<BlobDigest, Descriptor>,
    /// Layers that may not be there, whatever the old catalogue says.
    pub(super) doubtful: &'a BTreeSet<DiffId>,
}

impl Sending<'_> {
    fn is_new(&self, layer: &OwnLayer) -> bool {
        let blob = self.blobs.get(&layer.diff_id);
        blob.is_some_and(|blob| !self.known.contains_key(&blob.digest) || self.is_replaced(layer))
    }

    /// Whether it was made here after it did not come.
    fn is_replaced(&self, layer: &OwnLayer) -> bool {
        matches!(layer.whereabouts, Whereabouts::Store(_)) && self.doubtful.contains(&layer.diff_id)
    }
}

impl Ended<'_> {
    /// Sends the blobs of these layers, several at a time. Returns those that are broken where they should be, and stay
    /// so: some registries keep what they have under a digest, whatever it is.
    pub(super) async fn send(
        &self,
        sending: &Sending<'_>,
        results: &[Outcome],
    ) -> Result<BTreeSet<DiffId>, RemoteCacheError> {
        let new = results.iter().flat_map(|result| &result.layers).filter(|layer| sending.is_new(layer));
        let once: BTreeMap<DiffId, &OwnLayer> = new.map(|layer| (layer.diff_id, layer)).collect();
        let sent: Vec<_> = once.into_values().map(|layer| self.send_one(sending, layer)).collect();
        let lost = stream::iter(sent).buffer_unordered(LAYERS_AT_ONCE_MAX);
        lost.try_filter_map(async |lost| Ok(lost)).try_collect().await
    }

    async fn send_one(
        &self,
        sending: &Sending<'_>,
        layer: &OwnLayer,
    ) -> Result<Option<DiffId>, RemoteCacheError> {
        let (store, depot, blob) = (&self.worker.store, sending.depot, &sending.blobs[&layer.diff_id]);
        if sending.is_replaced(layer) {
            depot.replace(store, blob).await?;
            let Err(error) = depot.verify(blob).await else { return Ok(None) };
            let step = self.worker.steps.begin(&format!("exporting cache layer {}", blob.digest));
            self.worker.steps.fail(step, error.line());
            return Ok(Some(layer.diff_id));
        }
        if depot.has(blob).await? {
            return Ok(None);
        }
        // What another cache has goes through the store.
        if let Whereabouts::Away(away) = &layer.whereabouts
            && store.open_blob(&blob.digest)?.is_none()
            && let Origin::Cache(from) = &away.origin
        {
            from.fetch(store, blob).await?;
        }
        depot.send(store, blob).await?;
        Ok(None)
    }
}
