//! Reads layers and records that BuildKit has written, of which nothing is believed.

use std::collections::{BTreeSet, HashMap};

use image::{Descriptor, DiffId, MediaType};
use jiff::Timestamp;

use super::super::catalogue::{BlobEntry, CHAIN_MAX, Draft, LayerEntry, RECORDS_MAX};
use super::super::foreign::{ForeignLink, ForeignRecord};
use super::super::{Catalogue, CatalogueError};
use super::{CacheChain, CacheInput, CacheLayer, CacheRecord, CacheResult, DIFF_ID_ANNOTATION, NO_PARENT};

/// Records that are read.
pub(super) struct Reading {
    /// What becomes of the layers, unless they are those of a catalogue.
    pub(super) draft: Draft,
    is_own: bool,
    /// The layers of the document; none of one that is not described.
    pub(super) entries: Vec<Option<LayerEntry>>,
    /// The layer below each, by its place in the document.
    pub(super) chains: Vec<Option<usize>>,
    /// The place in the catalogue of each layer that has one.
    pub(super) places: Vec<u32>,
    placed: HashMap<usize, Option<u32>>,
}

impl Reading {
    pub(super) fn new(is_own: bool) -> Self {
        let draft = Draft::new(Catalogue::default(), 0, &BTreeSet::new());
        let (entries, chains, places, placed) = (Vec::new(), Vec::new(), Vec::new(), HashMap::new());
        Self { draft, is_own, entries, chains, places, placed }
    }

    pub(super) fn records(&mut self, records: &[CacheRecord]) -> Result<Vec<ForeignRecord>, CatalogueError> {
        check_count("records", records.len(), RECORDS_MAX)?;
        let mut read = Vec::with_capacity(records.len());
        for (at, record) in records.iter().enumerate() {
            let wrong = |problem| CatalogueError::Entry { what: "record", at, problem };
            let mut inputs = Vec::with_capacity(record.inputs.len());
            for input in &record.inputs {
                let mut links = Vec::with_capacity(input.len());
                for CacheInput { selector, link } in input {
                    if *link >= records.len() {
                        return Err(wrong("what it was made from is not there"));
                    }
                    let selector = match selector.as_str() {
                        "" => None,
                        selector => Some(selector.parse().map_err(|_| wrong("its selector is no digest"))?),
                    };
                    let record = u32::try_from(*link).unwrap_or(u32::MAX);
                    links.push(ForeignLink { selector, record });
                }
                inputs.push(links);
            }
            let result = self.result(record).map_err(wrong)?;
            let (layer, created) = result.map_or((None, 0), |(layer, created)| (Some(layer), created));
            read.push(ForeignRecord { key: record.digest, inputs, layer, created });
        }
        Ok(read)
    }

    /// The newest result that has all of its layers: its topmost, and when it was made.
    fn result(&mut self, record: &CacheRecord) -> Result<Option<(u32, i64)>, &'static str> {
        let mut results = Vec::new();
        for CacheResult { layer, created_at } in &record.layers {
            let layer = usize::try_from(*layer).map_err(|_| "its layer is not there")?;
            results.extend(self.place(layer)?.map(|place| (place, nanoseconds(created_at))));
        }
        for CacheChain { layers, created_at } in &record.chains {
            let is_missing = |layer: &usize| *layer >= self.entries.len();
            if !self.is_own || layers.iter().any(is_missing) || layers.len() > CHAIN_MAX {
                return Err("its layers are not there");
            }
            let entries: Option<Vec<LayerEntry>> =
                layers.iter().map(|layer| self.entries[*layer].clone()).collect();
            let place = entries.and_then(|entries| self.draft.chain(entries.into_iter()));
            results.extend(place.map(|place| (place, nanoseconds(created_at))));
        }
        Ok(results.into_iter().max_by_key(|(_, created)| *created))
    }

    /// The place in the catalogue of a layer of the document; none when its chain is not described.
    fn place(&mut self, layer: usize) -> Result<Option<u32>, &'static str> {
        if !self.is_own {
            return self.places.get(layer).map(|place| Some(*place)).ok_or("its layer is not there");
        }
        if layer >= self.entries.len() {
            return Err("its layer is not there");
        }
        let (mut chain, mut next) = (Vec::new(), Some(layer));
        while let Some(at) = next {
            if let Some(known) = self.placed.get(&at) {
                let below = *known;
                return Ok(self.place_on(below, chain, true));
            }
            chain.push(at);
            next = self.chains[at];
        }
        Ok(self.place_on(None, chain, false))
    }

    /// Adds a chain, given from the top, on a layer of the catalogue.
    fn place_on(&mut self, mut below: Option<u32>, chain: Vec<usize>, is_on_known: bool) -> Option<u32> {
        let mut is_broken = is_on_known && below.is_none();
        for at in chain.into_iter().rev() {
            below = match (&self.entries[at], is_broken) {
                (Some(entry), false) => Some(self.draft.layer(below, entry.clone())),
                _ => None,
            };
            is_broken = below.is_none();
            self.placed.insert(at, below);
        }
        below
    }
}

impl CacheLayer {
    /// None when its diff id is not known, by which it would have to be verified.
    pub(super) fn entry(&self, described: Option<&Descriptor>) -> Option<LayerEntry> {
        let annotations = self.annotations.as_ref();
        let diff_id = match annotations.and_then(|annotations| annotations.diff_id) {
            Some(diff_id) => diff_id,
            None => DiffId(described?.annotations.get(DIFF_ID_ANNOTATION)?.parse().ok()?),
        };
        let (media_type, size) = match (described, annotations) {
            (Some(described), _) => (described.media_type.clone(), described.size_bytes),
            (None, Some(annotations)) => (annotations.media_type.clone(), annotations.size),
            (None, None) => return None,
        };
        MediaType::parse(&media_type)?;
        let blob = Some(BlobEntry { media_type, digest: self.blob, size });
        Some(LayerEntry { diff_id, parent: None, epoch: None, blob })
    }
}

pub(super) fn check_count(what: &'static str, count: usize, max: usize) -> Result<(), CatalogueError> {
    if count > max { Err(CatalogueError::TooMany { what, max }) } else { Ok(()) }
}

/// The layer below each, after a look that no chain leads back to itself, or is longer than any that stacks.
pub(super) fn chains(layers: &[CacheLayer]) -> Result<Vec<Option<usize>>, CatalogueError> {
    let mut below = Vec::with_capacity(layers.len());
    for (at, layer) in layers.iter().enumerate() {
        let wrong = |problem| CatalogueError::Entry { what: "layer", at, problem };
        below.push(match layer.parent {
            NO_PARENT => None,
            parent => {
                let parent = usize::try_from(parent).ok().filter(|parent| *parent < layers.len());
                Some(parent.ok_or(wrong("it lies on one that is not there"))?)
            }
        });
    }
    let mut depths: Vec<usize> = vec![0; layers.len()];
    for at in 0..layers.len() {
        let (mut way, mut next) = (Vec::new(), Some(at));
        while let Some(place) = next.filter(|place| depths[*place] == 0) {
            way.push(place);
            if way.len() > CHAIN_MAX {
                return Err(CatalogueError::Entry {
                    what: "layer",
                    at,
                    problem: "it lies on too many others",
                });
            }
            next = below[place];
        }
        let mut depth = next.map_or(0, |known| depths[known]);
        for place in way.into_iter().rev() {
            depth += 1;
            depths[place] = depth;
        }
        if depth > CHAIN_MAX {
            return Err(CatalogueError::Entry { what: "layer", at, problem: "it lies on too many others" });
        }
    }
    Ok(below)
}

fn nanoseconds(time: &str) -> i64 {
    let parsed: Option<Timestamp> = time.parse().ok();
    parsed.and_then(|time| i64::try_from(time.as_nanosecond()).ok()).unwrap_or_default()
}
