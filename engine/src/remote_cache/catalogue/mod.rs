//! The document of a remote cache: which layers belong to which keys.

mod draft;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use image::{BlobDigest, Descriptor, DiffId, Digest, MediaType};
use serde::{Deserialize, Serialize};

pub(super) use draft::Draft;

use super::buildkit::{CacheConfig, DIFF_ID_ANNOTATION};
use super::foreign::ForeignRecord;
use super::mounts::{LISTING_TYPE, Listing, MOUNT_BYTES_MAX, PACK_TYPE};

/// The version that this code reads and writes.
const VERSION: u32 = 1;
/// Layers in one catalogue; each is some 300 bytes of it.
pub(super) const LAYERS_MAX: usize = 50_000;
/// Records in one catalogue, and notes of states.
pub(super) const RECORDS_MAX: usize = 50_000;
/// Cache mounts in one catalogue.
const MOUNTS_MAX: usize = 256;
/// Packs of one mount: they hold more than the mount, until they are written anew.
const PACKS_BYTES_MAX: u64 = 3 * MOUNT_BYTES_MAX;
/// Layers on top of one another: far more than anything stacks.
pub(super) const CHAIN_MAX: usize = 5_000;
/// What can be unpacked is smaller than this.
const BLOB_BYTES_MAX: u64 = 1 << 40;
/// A record that no build has used for this long is left out when a catalogue is written anew: two weeks, after which a
/// branch is merged or given up.
const UNUSED_S_MAX: i64 = 14 * 24 * 3600;
/// How far the time of the last use may be off: writing it down is no reason to write a catalogue.
const USE_SLACK_S: i64 = UNUSED_S_MAX / 2;

/// Which layers belong to which keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Catalogue {
    version: u32,
    pub(super) layers: Vec<LayerEntry>,
    pub(super) records: Vec<RecordEntry>,
    #[serde(default)]
    pub(super) states: Vec<StateEntry>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) mounts: Vec<MountEntry>,
    /// What BuildKit knows of it. These are written in its own way.
    #[serde(skip)]
    pub(super) foreign: Vec<ForeignRecord>,
}

/// A layer on top of those below it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct LayerEntry {
    pub(super) diff_id: DiffId,
    /// The layer that it lies on, by its place in the list, which is a lower one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<u32>,
    /// `SOURCE_DATE_EPOCH` of the build that made it: no file of its tar is later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) epoch: Option<i64>,
    /// None for a layer of a base image: its own registry has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) blob: Option<BlobEntry>,
}

/// A layer as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct BlobEntry {
    pub(super) media_type: String,
    pub(super) digest: BlobDigest,
    pub(super) size: u64,
}

/// The files of a cache mount at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct MountEntry {
    /// The name of the mount.
    pub(super) id: String,
    /// The digest of their tar.
    pub(super) content: DiffId,
    /// Bytes of it.
    size: u64,
    pub(super) listing: BlobEntry,
    packs: Vec<BlobEntry>,
    /// When a build used it last, about, in seconds since 1970.
    pub(super) used: i64,
}

/// What a key came to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct RecordEntry {
    pub(super) key: Digest,
    /// The key that dependents see, if it is another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) offered: Option<Digest>,
    /// The topmost layer, by its place in the list; none for no layers at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) layer: Option<u32>,
    /// When the step ended, in nanoseconds since 1970.
    pub(super) created: i64,
    /// How long it took, in milliseconds, if that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) took: Option<u64>,
    /// When a build used it last, about, in seconds since 1970.
    pub(super) used: i64,
}

/// What a RUN came to, whatever it was: see [`crate::ops::CutOff`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct StateEntry {
    pub(super) continued: Digest,
    pub(super) content: Digest,
    pub(super) offered: Digest,
    pub(super) used: i64,
}

/// Why bytes are no catalogue.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// Not JSON, or not of such a document.
    #[error("it is not the JSON of a catalogue")]
    Json {
        /// The cause.
        source: serde_json::Error,
    },
    /// Of a later version.
    #[error("it has version {found}, this slipway knows {VERSION}")]
    Version {
        /// Its version.
        found: u32,
    },
    /// It names something that cannot be.
    #[error("its {what} {at} cannot be: {problem}")]
    Entry {
        /// `layer` or `record`.
        what: &'static str,
        /// Its place in the list.
        at: usize,
        /// Why.
        problem: &'static str,
    },
    /// The chunks of a cache mount are of another tar than it says.
    #[error("its cache mount has {expected} bytes, and chunks for {actual}")]
    MountSize {
        /// As the mount says.
        expected: u64,
        /// As its chunks say.
        actual: u64,
    },
    /// More than anything that we write.
    #[error("it has more than {max} {what}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
}

/// What tells the forms of a catalogue apart.
#[derive(Deserialize)]
struct Outline {
    version: Option<serde::de::IgnoredAny>,
}

impl BlobEntry {
    pub(super) fn new(descriptor: &Descriptor) -> Self {
        let Descriptor { media_type, digest, size_bytes, .. } = descriptor;
        Self { media_type: media_type.clone(), digest: *digest, size: *size_bytes }
    }

    pub(super) fn descriptor(&self) -> Descriptor {
        let mut descriptor = Descriptor::new(MediaType::Layer, self.digest, self.size);
        descriptor.media_type.clone_from(&self.media_type);
        descriptor
    }
}

impl MountEntry {
    pub(super) fn new(
        id: &str,
        content: DiffId,
        (listing, packs): (&Descriptor, &[Descriptor]),
        size_bytes: u64,
        used: i64,
    ) -> Self {
        let packs = packs.iter().map(BlobEntry::new).collect();
        let listing = BlobEntry::new(listing);
        Self { id: id.to_owned(), content, size: size_bytes, listing, packs, used }
    }

    pub(super) fn packs(&self) -> Vec<Descriptor> {
        self.packs.iter().map(BlobEntry::descriptor).collect()
    }

    /// The listing and the packs.
    pub(super) fn blobs(&self) -> Vec<Descriptor> {
        self.packs().into_iter().chain([self.listing.descriptor()]).collect()
    }

    /// Bytes of all of them.
    pub(super) fn blobs_bytes(&self) -> u64 {
        self.blobs().iter().fold(0, |sum, blob| sum.saturating_add(blob.size_bytes))
    }

    /// Reads the listing of the mount, which has to be of a tar as long as the mount says.
    pub(super) fn listing_in(&self, bytes: &[u8]) -> Result<Listing, CatalogueError> {
        let listing = Listing::decode(bytes, self.packs.len())?;
        match listing.plain_bytes() == self.size {
            true => Ok(listing),
            false => Err(CatalogueError::MountSize { expected: self.size, actual: listing.plain_bytes() }),
        }
    }

    /// The same, used now; none when that is about what it says.
    pub(super) fn used_again(&self, now_unix_s: i64) -> Option<Self> {
        (now_unix_s - self.used > USE_SLACK_S).then(|| Self { used: now_unix_s, ..self.clone() })
    }

    fn is_possible(&self) -> bool {
        let Self { size, listing, packs, .. } = self;
        let packs_bytes: u64 = packs.iter().fold(0, |sum, pack| sum.saturating_add(pack.size));
        let are_packs = packs.iter().all(|pack| pack.media_type == PACK_TYPE);
        let is_small = *size <= MOUNT_BYTES_MAX && packs_bytes <= PACKS_BYTES_MAX;
        are_packs && is_small && listing.media_type == LISTING_TYPE
    }
}

impl Catalogue {
    /// The same with what BuildKit knows of it.
    pub(super) fn with_foreign(self, foreign: Vec<ForeignRecord>) -> Self {
        Self { foreign, ..self }
    }

    /// Reads a catalogue, also one within a cache configuration of BuildKit, and a cache configuration that BuildKit has
    /// written, of whose blobs these are the descriptors. Whatever it says was checked: every place
    /// is one of the lists, and no chain has an end only far away.
    pub fn parse(bytes: &[u8], blobs: &[Descriptor]) -> Result<Self, CatalogueError> {
        let json = |source| CatalogueError::Json { source };
        let Outline { version } = serde_json::from_slice(bytes).map_err(json)?;
        let catalogue: Self = match version {
            Some(_) => serde_json::from_slice(bytes).map_err(json)?,
            None => {
                let config: CacheConfig = serde_json::from_slice(bytes).map_err(json)?;
                config.into_catalogue(blobs)?
            }
        };
        catalogue.check()?;
        Ok(catalogue)
    }

    pub(super) fn check(&self) -> Result<(), CatalogueError> {
        let Self { version, layers, records, states, mounts, foreign: _ } = self;
        if *version != VERSION {
            return Err(CatalogueError::Version { found: *version });
        }
        let counts = [
            ("layers", layers.len(), LAYERS_MAX),
            ("records", records.len(), RECORDS_MAX),
            ("states", states.len(), RECORDS_MAX),
            ("mounts", mounts.len(), MOUNTS_MAX),
        ];
        if let Some((what, _, max)) = counts.into_iter().find(|(_, count, max)| count > max) {
            return Err(CatalogueError::TooMany { what, max });
        }
        let mut depths = Vec::with_capacity(layers.len());
        for (at, layer) in layers.iter().enumerate() {
            let wrong = |problem| CatalogueError::Entry { what: "layer", at, problem };
            let below = match layer.parent {
                None => 0,
                Some(parent) => *depths.get(parent as usize).ok_or(wrong("it lies on one that follows"))?,
            };
            if below >= CHAIN_MAX {
                return Err(wrong("it lies on too many others"));
            }
            depths.push(below + 1);
            if let Some(blob) = &layer.blob {
                let is_layer = matches!(
                    MediaType::parse(&blob.media_type),
                    Some(MediaType::Layer | MediaType::LayerGzip | MediaType::LayerZstd)
                );
                if !is_layer || blob.size > BLOB_BYTES_MAX {
                    return Err(wrong("its blob is no layer"));
                }
            }
        }
        if let Some(at) = mounts.iter().position(|mount| !mount.is_possible()) {
            return Err(CatalogueError::Entry {
                what: "mount",
                at,
                problem: "it is too large, or its blobs are none",
            });
        }
        let is_there = |layer: &u32| (*layer as usize) < layers.len();
        match records.iter().position(|record| !record.layer.iter().all(is_there)) {
            Some(at) => Err(CatalogueError::Entry { what: "record", at, problem: "its layer is not there" }),
            None => Ok(()),
        }
    }

    /// The document; equal catalogues give equal bytes.
    pub fn to_json(&self) -> Vec<u8> {
        image::canonical_json(self)
    }

    /// The layers up to this one, lowest first.
    pub(super) fn chain(&self, top: Option<u32>) -> Vec<&LayerEntry> {
        let mut chain = Vec::new();
        let mut next = top;
        while let Some(at) = next {
            let layer = &self.layers[at as usize];
            chain.push(layer);
            next = layer.parent;
        }
        chain.reverse();
        chain
    }

    /// The layers above these, in whatever chain.
    pub(super) fn standing_on(&self, below: &BTreeSet<DiffId>) -> Vec<DiffId> {
        let has_any = self.chains_with(below);
        let stands = |layer: &&LayerEntry| layer.parent.is_some_and(|parent| has_any[parent as usize]);
        self.layers.iter().filter(stands).map(|layer| layer.diff_id).collect()
    }

    /// For each layer, whether any of these is in the chain up to it.
    fn chains_with(&self, any: &BTreeSet<DiffId>) -> Vec<bool> {
        let mut has_any = Vec::with_capacity(self.layers.len());
        // A layer comes after its parent.
        for layer in &self.layers {
            let is_below = layer.parent.is_some_and(|parent| has_any[parent as usize]);
            has_any.push(is_below || any.contains(&layer.diff_id));
        }
        has_any
    }

    /// The blobs of all layers and mounts, each once.
    pub(super) fn blobs(&self) -> BTreeMap<BlobDigest, Descriptor> {
        let blobs = self.layers.iter().filter_map(|layer| layer.blob.as_ref());
        let layers = blobs.map(BlobEntry::descriptor);
        let mounts = self.mounts.iter().flat_map(MountEntry::blobs);
        layers.chain(mounts).map(|blob| (blob.digest, blob)).collect()
    }

    /// The same with the diff ids of layers, where BuildKit looks for them.
    pub(super) fn described_blobs(&self) -> BTreeMap<BlobDigest, Descriptor> {
        let mut blobs = self.blobs();
        for layer in &self.layers {
            let blob = layer.blob.as_ref().and_then(|blob| blobs.get_mut(&blob.digest));
            blob.into_iter().for_each(|blob| {
                blob.annotations.insert(DIFF_ID_ANNOTATION.to_owned(), layer.diff_id.to_string());
            });
        }
        blobs
    }

    /// Every layer with a blob, by its diff id.
    pub(super) fn blob_of(&self) -> HashMap<DiffId, Descriptor> {
        let blob = |layer: &LayerEntry| Some((layer.diff_id, layer.blob.as_ref()?.descriptor()));
        self.layers.iter().filter_map(blob).collect()
    }
}

#[cfg(test)]
mod tests;
