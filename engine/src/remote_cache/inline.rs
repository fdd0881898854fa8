//! A catalogue in the config of an image, whose layers are those of the image.

use std::collections::{BTreeSet, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{Descriptor, DiffId, ImageConfig, Manifest};
use serde_json::Value;

use super::buildkit::{self, CacheRecord};
use super::catalogue::{BlobEntry, Draft, LayerEntry, RecordEntry};
use super::export::{Ended, NANOSECONDS};
use super::{CacheMode, Catalogue, RemoteCacheError};

/// Where BuildKit keeps its records, and finds ours.
pub(crate) const INLINE_KEY: &str = "moby.buildkit.cache.v0";
/// Where ours is.
pub(crate) const OWN_INLINE_KEY: &str = "slipway.cache.v0";

impl Ended<'_> {
    /// What the config of the image says under [`INLINE_KEY`] and [`OWN_INLINE_KEY`]. It depends on the image alone: the same
    /// steps give the same image.
    pub(crate) async fn inline(&self) -> Result<[(&'static str, Value); 2], RemoteCacheError> {
        let (mut draft, mut foreign) =
            (Draft::new(Catalogue::default(), 0, &BTreeSet::new()), HashMap::new());
        for result in self.results(CacheMode::Min).await? {
            let entry = |diff_id, epoch| LayerEntry { diff_id, parent: None, epoch, blob: None };
            let layer = draft.chain(result.layers.iter().map(|layer| entry(layer.diff_id, layer.epoch)));
            let vertex = result.trod.vertex;
            let epoch = self.worker.source_date_epoch.map(|seconds| seconds.saturating_mul(NANOSECONDS));
            let created = epoch.unwrap_or(result.trod.created_unix_ns);
            let offered = (result.trod.offered != result.key).then_some(result.trod.offered);
            let used = created / NANOSECONDS;
            // The same steps take another time each time.
            let took = None;
            draft.record(RecordEntry { key: result.key, offered, layer, created, took, used }, true);
            foreign.insert(vertex, (layer, created));
        }
        draft.foreign(self.foreign(foreign).await);
        let catalogue = draft.finish().unwrap_or_default();
        // The layers of the image are one chain.
        let place = |layer| catalogue.chain(Some(layer)).len().checked_sub(1);
        let records = image::canonical_json(&catalogue.foreign_records(&place));
        let text = |json: &[u8]| Value::String(STANDARD.encode(json));
        Ok([(INLINE_KEY, text(&records)), (OWN_INLINE_KEY, text(&catalogue.to_json()))])
    }
}

/// The catalogue in a config, ours or BuildKit's, with the blobs that the manifest names.
pub(super) fn read(config: &[u8], manifest: &Manifest) -> Result<Option<Catalogue>, RemoteCacheError> {
    let json = |source| super::CatalogueError::Json { source };
    let config: ImageConfig = serde_json::from_slice(config).map_err(json)?;
    let no_text = |error| json(serde_json::Error::io(std::io::Error::other(error)));
    let bytes = |key| {
        let text = config.extra.get(key).and_then(Value::as_str);
        text.map(|text| STANDARD.decode(text).map_err(no_text)).transpose()
    };
    let diff_ids = &config.rootfs.diff_ids;
    let (own, other) = (bytes(OWN_INLINE_KEY)?, bytes(INLINE_KEY)?);
    let mut catalogue = match (own, other) {
        (Some(own), _) => Catalogue::parse(&own, &[])?,
        (None, Some(other)) if other.starts_with(b"[") => {
            let records: Vec<CacheRecord> = serde_json::from_slice(&other).map_err(json)?;
            return Ok(Some(buildkit::of_image(&records, diff_ids, &manifest.layers)?));
        }
        // As it was written by earlier versions.
        (None, Some(other)) => Catalogue::parse(&other, &[])?,
        (None, None) => return Ok(None),
    };
    let blobs: HashMap<DiffId, &Descriptor> = diff_ids.iter().copied().zip(&manifest.layers).collect();
    for layer in &mut catalogue.layers {
        layer.blob = blobs.get(&layer.diff_id).map(|blob| BlobEntry::new(blob));
    }
    catalogue.check()?;
    Ok(Some(catalogue))
}
