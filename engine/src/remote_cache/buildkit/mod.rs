//! A catalogue within a cache configuration of BuildKit, and cache configurations that BuildKit has written.
//!
//! BuildKit finds the layers and the records in it where it expects them, and keeps the key `slipway`, which it does not
//! know, out of its way. A record is found by both under [foreign keys](super::foreign).

mod reading;

use std::collections::HashMap;

use image::{BlobDigest, Descriptor, DiffId, Digest};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::catalogue::{BlobEntry, LAYERS_MAX, LayerEntry};
use super::foreign::{ForeignLink, ForeignRecord};
use super::{Catalogue, CatalogueError};
use reading::{Reading, chains, check_count};

/// The annotation of a layer's descriptor with its diff id.
pub(super) const DIFF_ID_ANNOTATION: &str = "containerd.io/uncompressed";
/// The parent of a layer that lies on nothing.
const NO_PARENT: i64 = -1;

/// `CacheConfig` of BuildKit's package `cache/remotecache/v1/types`.
#[derive(Serialize, Deserialize)]
pub(super) struct CacheConfig {
    #[serde(default)]
    layers: Vec<CacheLayer>,
    #[serde(default)]
    pub(super) records: Vec<CacheRecord>,
    #[serde(default)]
    slipway: Option<Catalogue>,
}

#[derive(Serialize, Deserialize)]
struct CacheLayer {
    blob: BlobDigest,
    /// None is 0, since Go leaves that out.
    #[serde(default)]
    parent: i64,
    #[serde(default)]
    annotations: Option<LayerAnnotations>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct LayerAnnotations {
    #[serde(default)]
    media_type: String,
    #[serde(default, rename = "diffID")]
    diff_id: Option<DiffId>,
    #[serde(default)]
    size: u64,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CacheRecord {
    digest: Digest,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    layers: Vec<CacheResult>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    chains: Vec<CacheChain>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<Vec<CacheInput>>,
}

/// A layer with those that it lies on.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CacheResult {
    layer: i64,
    #[serde(default)]
    created_at: String,
}

/// Layers that lie on one another, lowest first.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct CacheChain {
    layers: Vec<usize>,
    #[serde(default)]
    created_at: String,
}

#[derive(Serialize, Deserialize)]
struct CacheInput {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    selector: String,
    link: usize,
}

impl CacheConfig {
    /// The catalogue that a document of BuildKit is, with the descriptors of its blobs, or that is in one.
    pub(super) fn into_catalogue(self, blobs: &[Descriptor]) -> Result<Catalogue, CatalogueError> {
        let Self { layers, records, slipway } = self;
        check_count("layers", layers.len(), LAYERS_MAX)?;
        let mut reading = Reading::new(slipway.is_none());
        match slipway {
            Some(catalogue) => {
                catalogue.check()?;
                reading.places = catalogue.places();
                let foreign = reading.records(&records)?;
                Ok(catalogue.with_foreign(foreign))
            }
            None => {
                let blobs: HashMap<BlobDigest, &Descriptor> =
                    blobs.iter().map(|blob| (blob.digest, blob)).collect();
                reading.chains = chains(&layers)?;
                let entry = |layer: &CacheLayer| layer.entry(blobs.get(&layer.blob).copied());
                reading.entries = layers.iter().map(entry).collect();
                let foreign = reading.records(&records)?;
                Ok(reading.draft.into_layers().with_foreign(foreign))
            }
        }
    }
}

/// The records that the config of an image has, whose layers are those of the image.
pub(super) fn of_image(
    records: &[CacheRecord],
    diff_ids: &[DiffId],
    blobs: &[Descriptor],
) -> Result<Catalogue, CatalogueError> {
    let mut reading = Reading::new(true);
    let entry = |(diff_id, blob): (&DiffId, &Descriptor)| {
        Some(LayerEntry { diff_id: *diff_id, parent: None, epoch: None, blob: Some(BlobEntry::new(blob)) })
    };
    reading.entries = diff_ids.iter().zip(blobs).map(entry).collect();
    reading.chains = (0..reading.entries.len()).map(|at| at.checked_sub(1)).collect();
    let foreign = reading.records(records)?;
    Ok(reading.draft.into_layers().with_foreign(foreign))
}

fn written(created_unix_ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(created_unix_ns)).unwrap_or_default().to_string()
}

impl Catalogue {
    /// The layers for BuildKit, which are those that are in the cache down to the lowest: by their places here.
    fn places(&self) -> Vec<u32> {
        let mut is_whole = Vec::with_capacity(self.layers.len());
        let mut places = Vec::new();
        for (at, layer) in (0..).zip(&self.layers) {
            let below = layer.parent.is_none_or(|parent| is_whole[parent as usize]);
            is_whole.push(below && layer.blob.is_some());
            if is_whole[at as usize] {
                places.push(at);
            }
        }
        places
    }

    /// The document; equal catalogues give equal bytes.
    pub(super) fn to_buildkit_json(&self) -> Vec<u8> {
        let places = self.places();
        let of: HashMap<u32, usize> = places.iter().copied().zip(0..).collect();
        let layers = places.iter().filter_map(|at| {
            let layer = &self.layers[*at as usize];
            let BlobEntry { media_type, digest, size } = layer.blob.clone()?;
            let parent = layer.parent.and_then(|parent| i64::try_from(*of.get(&parent)?).ok());
            let annotations = LayerAnnotations { media_type, diff_id: Some(layer.diff_id), size };
            let parent = parent.unwrap_or(NO_PARENT);
            Some(CacheLayer { blob: digest, parent, annotations: Some(annotations) })
        });
        let records = self.foreign_records(&|layer| of.get(&layer).copied());
        let config = CacheConfig { layers: layers.collect(), records, slipway: Some(self.clone()) };
        image::canonical_json(&config)
    }

    /// The records for BuildKit, with the places of their layers there.
    pub(super) fn foreign_records(&self, place: &dyn Fn(u32) -> Option<usize>) -> Vec<CacheRecord> {
        let input = |link: &ForeignLink| CacheInput {
            selector: link.selector.map(|selector| selector.to_string()).unwrap_or_default(),
            link: link.record as usize,
        };
        let inputs = |links: &Vec<ForeignLink>| links.iter().map(input).collect();
        let record = |record: &ForeignRecord| {
            let layer = record.layer.and_then(place).and_then(|layer| i64::try_from(layer).ok());
            let result = |layer| CacheResult { layer, created_at: written(record.created) };
            CacheRecord {
                digest: record.key,
                layers: layer.map(result).into_iter().collect(),
                chains: Vec::new(),
                inputs: record.inputs.iter().map(inputs).collect(),
            }
        };
        self.foreign.iter().map(record).collect()
    }
}
