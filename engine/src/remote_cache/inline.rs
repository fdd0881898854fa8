//! A catalogue in the config of an image, whose layers are those of the image.

use std::collections::{BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{Descriptor, DiffId, ImageConfig, Manifest};
use serde_json::Value;

use super::catalogue::{BlobEntry, Draft, LayerEntry, RecordEntry};
use super::export::{Ended, NANOSECONDS};
use super::{CacheMode, Catalogue, RemoteCacheError};

/// Where BuildKit keeps its own, in the same form.
pub(crate) const INLINE_KEY: &str = "moby.buildkit.cache.v0";

impl Ended<'_> {
    /// What the config of the image says under [`INLINE_KEY`]. It depends on the image alone: the same steps give the
    /// same image.
    pub(crate) async fn inline(&self) -> Result<Value, RemoteCacheError> {
        let mut draft = Draft::new(Catalogue::default(), 0, &BTreeSet::new());
        for result in self.results(CacheMode::Min).await? {
            let entry = |diff_id, epoch| LayerEntry { diff_id, parent: None, epoch, blob: None };
            let layer = draft.chain(result.layers.iter().map(|layer| entry(layer.diff_id, layer.epoch)));
            let epoch = self.worker.source_date_epoch.map(|seconds| seconds.saturating_mul(NANOSECONDS));
            let created = epoch.unwrap_or(result.trod.created_unix_ns);
            let offered = (result.trod.offered != result.key).then_some(result.trod.offered);
            let used = created / NANOSECONDS;
            // The same steps take another time each time.
            let took = None;
            draft.record(RecordEntry { key: result.key, offered, layer, created, took, used }, true);
        }
        let catalogue = draft.finish().unwrap_or_default();
        Ok(Value::String(STANDARD.encode(catalogue.to_buildkit_json())))
    }
}

/// The catalogue in a config, with the blobs that the manifest names.
pub(super) fn read(config: &[u8], manifest: &Manifest) -> Result<Option<Catalogue>, RemoteCacheError> {
    let json = |source| super::CatalogueError::Json { source };
    let config: ImageConfig = serde_json::from_slice(config).map_err(json)?;
    let Some(text) = config.extra.get(INLINE_KEY).and_then(Value::as_str) else { return Ok(None) };
    let no_text = |error| json(serde_json::Error::io(std::io::Error::other(error)));
    let mut catalogue = Catalogue::parse(&STANDARD.decode(text).map_err(no_text)?)?;
    let blobs: HashMap<DiffId, &Descriptor> =
        config.rootfs.diff_ids.iter().copied().zip(&manifest.layers).collect();
    for layer in &mut catalogue.layers {
        layer.blob = blobs.get(&layer.diff_id).map(|blob| BlobEntry::new(blob));
    }
    catalogue.check()?;
    Ok(Some(catalogue))
}
