//! A catalogue within a cache configuration of BuildKit.
//!
//! BuildKit finds the layers and the records in it where it expects them, and keeps the key `slipway`, which it does not
//! know, out of its way. The keys of the records are ours: it computes none of them.

use std::collections::HashMap;

use jiff::Timestamp;
use serde::Serialize;

use super::Catalogue;
use super::catalogue::BlobEntry;

/// `CacheConfig` of BuildKit's package `cache/remotecache/v1/types`.
#[derive(Serialize)]
struct CacheConfig<'a> {
    layers: Vec<CacheLayer<'a>>,
    records: Vec<CacheRecord>,
    slipway: &'a Catalogue,
}

#[derive(Serialize)]
struct CacheLayer<'a> {
    blob: &'a image::BlobDigest,
    /// -1 is none.
    parent: i64,
    annotations: LayerAnnotations<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct LayerAnnotations<'a> {
    media_type: &'a str,
    #[serde(rename = "diffID")]
    diff_id: image::DiffId,
    size: u64,
}

#[derive(Serialize)]
struct CacheRecord {
    digest: image::Digest,
    results: Vec<CacheResult>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CacheResult {
    layer: usize,
    created_at: String,
}

impl Catalogue {
    /// The document; equal catalogues give equal bytes. Only layers that are in the cache down to the lowest are
    /// among those for BuildKit.
    pub(super) fn to_buildkit_json(&self) -> Vec<u8> {
        let mut layers = Vec::new();
        let mut places: HashMap<u32, usize> = HashMap::new();
        for (at, layer) in (0..).zip(&self.layers) {
            let parent = match layer.parent {
                None => Some(-1),
                Some(parent) => places.get(&parent).and_then(|place| i64::try_from(*place).ok()),
            };
            let (Some(blob), Some(parent)) = (&layer.blob, parent) else { continue };
            let BlobEntry { media_type, digest, size } = blob;
            let annotations = LayerAnnotations { media_type, diff_id: layer.diff_id, size: *size };
            places.insert(at, layers.len());
            layers.push(CacheLayer { blob: digest, parent, annotations });
        }
        let result = |layer: &u32, created_unix_ns| {
            let created = Timestamp::from_nanosecond(i128::from(created_unix_ns)).unwrap_or_default();
            Some(CacheResult { layer: *places.get(layer)?, created_at: created.to_string() })
        };
        let records = self.records.iter().map(|record| {
            let results = record.layer.iter().filter_map(|layer| result(layer, record.created));
            CacheRecord { digest: record.key, results: results.collect() }
        });
        image::canonical_json(&CacheConfig { layers, records: records.collect(), slipway: self })
    }
}
