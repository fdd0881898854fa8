//! The document of a remote cache: which layers belong to which keys.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use image::{BlobDigest, Descriptor, DiffId, Digest, MediaType};
use serde::{Deserialize, Serialize};

use super::mounts::{LISTING_TYPE, Listing, MOUNT_BYTES_MAX, PACK_TYPE};

/// The version that this code reads and writes.
const VERSION: u32 = 1;
/// Layers in one catalogue; each is some 300 bytes of it.
const LAYERS_MAX: usize = 50_000;
/// Records in one catalogue, and notes of states.
const RECORDS_MAX: usize = 50_000;
/// Cache mounts in one catalogue.
const MOUNTS_MAX: usize = 256;
/// Packs of one mount: they hold more than the mount, until they are written anew.
const PACKS_BYTES_MAX: u64 = 3 * MOUNT_BYTES_MAX;
/// Layers on top of one another: far more than anything stacks.
const CHAIN_MAX: usize = 5_000;
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
    /// A cache that BuildKit has written. Its keys are digests of BuildKit's own operations.
    #[error("it was written by BuildKit, with {records} records under keys that only BuildKit can compute")]
    OnlyBuildKit {
        /// How many records it has.
        records: usize,
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

/// A cache configuration of BuildKit, with a catalogue in it.
#[derive(Deserialize)]
struct Wrapped {
    slipway: Option<Catalogue>,
    #[serde(default)]
    records: Vec<serde::de::IgnoredAny>,
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
    /// Reads a catalogue, also one within a cache configuration of BuildKit. Whatever it says was checked: every place
    /// is one of the lists, and no chain has an end only far away.
    pub fn parse(bytes: &[u8]) -> Result<Self, CatalogueError> {
        let json = |source| CatalogueError::Json { source };
        let Outline { version } = serde_json::from_slice(bytes).map_err(json)?;
        let catalogue: Self = match version {
            Some(_) => serde_json::from_slice(bytes).map_err(json)?,
            None => {
                let Wrapped { slipway, records } = serde_json::from_slice(bytes).map_err(json)?;
                slipway.ok_or(CatalogueError::OnlyBuildKit { records: records.len() })?
            }
        };
        catalogue.check()?;
        Ok(catalogue)
    }

    pub(super) fn check(&self) -> Result<(), CatalogueError> {
        let Self { version, layers, records, states, mounts } = self;
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

    /// Every layer with a blob, by its diff id.
    pub(super) fn blob_of(&self) -> HashMap<DiffId, Descriptor> {
        let blob = |layer: &LayerEntry| Some((layer.diff_id, layer.blob.as_ref()?.descriptor()));
        self.layers.iter().filter_map(blob).collect()
    }
}

/// A catalogue that is written: what there was, and what a build adds.
pub(super) struct Draft {
    catalogue: Catalogue,
    places: HashMap<(Option<u32>, DiffId, Option<i64>), u32>,
    records: BTreeMap<Digest, usize>,
    states: BTreeMap<(Digest, Digest), usize>,
    now_unix_s: i64,
    is_changed: bool,
}

impl Draft {
    /// Begins with what there was. Records on layers that are `broken` are left out.
    pub(super) fn new(old: Catalogue, now_unix_s: i64, broken: &BTreeSet<DiffId>) -> Self {
        let catalogue = Catalogue { version: VERSION, ..Catalogue::default() };
        let mut draft = Self {
            catalogue,
            places: HashMap::new(),
            records: BTreeMap::new(),
            states: BTreeMap::new(),
            now_unix_s,
            is_changed: false,
        };
        let oldest = now_unix_s - UNUSED_S_MAX;
        let is_broken = old.chains_with(broken);
        let (kept, dropped): (Vec<_>, Vec<_>) = old.records.into_iter().partition(|record| {
            record.used >= oldest && !record.layer.is_some_and(|layer| is_broken[layer as usize])
        });
        draft.is_changed |= !dropped.is_empty();
        draft.adopt(&old.layers, kept);
        for state in old.states.into_iter().filter(|state| state.used >= oldest) {
            draft.states.insert((state.continued, state.content), draft.catalogue.states.len());
            draft.catalogue.states.push(state);
        }
        let mounts = old.mounts.into_iter().filter(|mount| mount.used >= oldest);
        draft.catalogue.mounts = mounts.collect();
        draft
    }

    /// Adds records of another catalogue, with those of its layers on which they stand.
    fn adopt(&mut self, layers: &[LayerEntry], records: Vec<RecordEntry>) {
        let mut is_needed = vec![false; layers.len()];
        records.iter().filter_map(|record| record.layer).for_each(|layer| is_needed[layer as usize] = true);
        // A layer comes after its parent.
        for (at, layer) in layers.iter().enumerate().rev() {
            if let (true, Some(parent)) = (is_needed[at], layer.parent) {
                is_needed[parent as usize] = true;
            }
        }
        let mut places = vec![None; layers.len()];
        for (at, layer) in layers.iter().enumerate().filter(|(at, _)| is_needed[*at]) {
            let parent = layer.parent.and_then(|parent| places[parent as usize]);
            places[at] = Some(self.layer(parent, layer.clone()));
        }
        for record in records {
            let layer = record.layer.and_then(|layer| places[layer as usize]);
            self.records.insert(record.key, self.catalogue.records.len());
            self.catalogue.records.push(RecordEntry { layer, ..record });
        }
    }

    /// The place of the topmost of these layers, which are lowest first.
    pub(super) fn chain(&mut self, layers: impl Iterator<Item = LayerEntry>) -> Option<u32> {
        let mut parent = None;
        for layer in layers {
            parent = Some(self.layer(parent, layer));
        }
        parent
    }

    /// The place of a layer on this one.
    fn layer(&mut self, parent: Option<u32>, layer: LayerEntry) -> u32 {
        let LayerEntry { diff_id, epoch, blob, .. } = layer;
        let next = u32::try_from(self.catalogue.layers.len()).unwrap_or(u32::MAX);
        let place = *self.places.entry((parent, diff_id, epoch)).or_insert(next);
        if place == next {
            self.catalogue.layers.push(LayerEntry { diff_id, parent, epoch, blob });
        } else if blob.is_some() && self.catalogue.layers[place as usize].blob != blob {
            self.catalogue.layers[place as usize].blob = blob;
            self.is_changed = true;
        }
        place
    }

    /// Adds a record. One that is there stays, unless this one `replaces` it.
    pub(super) fn record(&mut self, record: RecordEntry, replaces: bool) {
        match self.records.get(&record.key) {
            None => {
                self.is_changed = true;
                self.records.insert(record.key, self.catalogue.records.len());
                self.catalogue.records.push(record);
            }
            Some(at) => {
                let known = &mut self.catalogue.records[*at];
                let is_same = (known.offered, known.layer) == (record.offered, record.layer);
                if replaces && !is_same {
                    self.is_changed = true;
                    *known = record;
                    return;
                }
                self.is_changed |= self.now_unix_s - known.used > USE_SLACK_S;
                known.used = self.now_unix_s;
            }
        }
    }

    /// Adds what a RUN came to.
    pub(super) fn state(&mut self, state: StateEntry) {
        match self.states.get(&(state.continued, state.content)) {
            None => {
                self.is_changed = true;
                self.states.insert((state.continued, state.content), self.catalogue.states.len());
                self.catalogue.states.push(state);
            }
            Some(at) => self.catalogue.states[*at].used = self.now_unix_s,
        }
    }

    /// Replaces what there was of a mount.
    pub(super) fn mount(&mut self, mount: MountEntry) {
        self.catalogue.mounts.retain(|other| other.id != mount.id);
        self.catalogue.mounts.insert(0, mount);
        self.catalogue.mounts.truncate(MOUNTS_MAX);
        self.is_changed = true;
    }

    /// The catalogue, if it says anything that the old one did not. The newest records stay when there are too many.
    pub(super) fn finish(self) -> Option<Catalogue> {
        let Self { mut catalogue, is_changed, now_unix_s, .. } = self;
        if !is_changed {
            return None;
        }
        if catalogue.layers.len() > LAYERS_MAX || catalogue.records.len() > RECORDS_MAX {
            let newest = newest(&catalogue.layers, std::mem::take(&mut catalogue.records));
            let mut fewer = Self::new(Catalogue::default(), now_unix_s, &BTreeSet::new());
            fewer.adopt(&catalogue.layers, newest);
            fewer.catalogue.states = std::mem::take(&mut catalogue.states);
            fewer.catalogue.mounts = std::mem::take(&mut catalogue.mounts);
            catalogue = fewer.catalogue;
        }
        catalogue.states.sort_by_key(|state| std::cmp::Reverse(state.used));
        catalogue.states.truncate(RECORDS_MAX);
        Some(catalogue)
    }
}

/// The records used last, as many as leave room for others and their layers.
fn newest(layers: &[LayerEntry], mut records: Vec<RecordEntry>) -> Vec<RecordEntry> {
    records.sort_by_key(|record| std::cmp::Reverse(record.used));
    let (mut is_counted, mut layers_count) = (vec![false; layers.len()], 0);
    let mut fits = |record: &RecordEntry| {
        if layers_count + CHAIN_MAX > LAYERS_MAX {
            return false;
        }
        let mut next = record.layer;
        while let Some(at) = next.map(|at| at as usize).filter(|at| !is_counted[*at]) {
            is_counted[at] = true;
            layers_count += 1;
            next = layers[at].parent;
        }
        true
    };
    let count = records.iter().take(RECORDS_MAX / 2).take_while(|record| fits(record)).count();
    records.truncate(count);
    records
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn digest(number: u8) -> Digest {
        Digest([number; 32])
    }

    fn layer(number: u8) -> LayerEntry {
        let descriptor = Descriptor::new(MediaType::LayerGzip, BlobDigest(digest(number)), 7);
        let blob = Some(BlobEntry::new(&descriptor));
        LayerEntry { diff_id: DiffId(digest(number)), parent: None, epoch: None, blob }
    }

    fn record(key: u8, layer: Option<u32>, used: i64) -> RecordEntry {
        RecordEntry { key: digest(key), offered: None, layer, created: 5, took: None, used }
    }

    /// Two records, the second on top of the first.
    fn catalogue() -> Catalogue {
        let mut draft = Draft::new(Catalogue::default(), 100, &BTreeSet::new());
        let one = draft.chain([layer(1)].into_iter());
        draft.record(record(10, one, 100), true);
        let two = draft.chain([layer(1), layer(2)].into_iter());
        draft.record(record(20, two, 100), true);
        draft.finish().expect("it is new")
    }

    #[test]
    fn catalogue_v1_never_changes() {
        let json = String::from_utf8(catalogue().to_json()).unwrap();
        let short = json.replace(&digest(1).hex(), "<1>").replace(&digest(2).hex(), "<2>");
        let short = short.replace(&digest(10).hex(), "<10>").replace(&digest(20).hex(), "<20>");
        insta::assert_snapshot!(short, @r#"
        {"layers":[{"blob":{"digest":"sha256:<1>","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":7},"diffId":"sha256:<1>"},{"blob":{"digest":"sha256:<2>","mediaType":"application/vnd.oci.image.layer.v1.tar+gzip","size":7},"diffId":"sha256:<2>","parent":0}],"records":[{"created":5,"key":"sha256:<10>","layer":0,"used":100},{"created":5,"key":"sha256:<20>","layer":1,"used":100}],"states":[],"version":1}
        "#);
        assert_eq!(Catalogue::parse(json.as_bytes()).unwrap(), catalogue());
        assert_eq!(Catalogue::parse(&catalogue().to_buildkit_json()).unwrap(), catalogue());
    }

    #[test]
    fn buildkit_finds_layers_and_records_where_it_looks() {
        let document: Value = serde_json::from_slice(&catalogue().to_buildkit_json()).unwrap();
        assert_eq!(document["layers"][0]["parent"], -1);
        assert_eq!(document["layers"][1]["parent"], 0);
        assert_eq!(document["layers"][1]["annotations"]["diffID"], json!(digest(2)));
        assert_eq!(document["records"][1]["results"][0]["layer"], 1);
        assert_eq!(document["records"][1]["digest"], json!(digest(20)));
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let wrong = |change: &dyn Fn(&mut Value)| {
            let mut document: Value = serde_json::from_slice(&catalogue().to_json()).unwrap();
            change(&mut document);
            Catalogue::parse(&serde_json::to_vec(&document).unwrap()).unwrap_err().to_string()
        };
        let said = [
            wrong(&|it| it["version"] = json!(2)),
            wrong(&|it| it["layers"][1]["parent"] = json!(1)),
            wrong(&|it| it["layers"][0]["parent"] = json!(7)),
            wrong(&|it| it["layers"][0]["blob"]["mediaType"] = json!("text/html")),
            wrong(&|it| it["layers"][0]["blob"]["size"] = json!(1_u64 << 50)),
            wrong(&|it| it["layers"][0]["diffId"] = json!("../../etc/passwd")),
            wrong(&|it| it["records"][0]["layer"] = json!(2)),
            wrong(&|it| it["records"][0]["key"] = json!("sha512:00")),
            wrong(&|it| *it = json!({"layers": [], "records": [{}, {}]})),
            wrong(&|it| *it = json!("text")),
        ];
        insta::assert_snapshot!(said.join("\n"), @r"
        it has version 2, this slipway knows 1
        its layer 1 cannot be: it lies on one that follows
        its layer 0 cannot be: it lies on one that follows
        its layer 0 cannot be: its blob is no layer
        its layer 0 cannot be: its blob is no layer
        it is not the JSON of a catalogue
        its record 0 cannot be: its layer is not there
        it is not the JSON of a catalogue
        it was written by BuildKit, with 2 records under keys that only BuildKit can compute
        it is not the JSON of a catalogue
        ");
    }

    #[test]
    fn a_chain_has_an_end_that_is_near() {
        let mut long = catalogue();
        long.layers = (0..=CHAIN_MAX)
            .map(|at| LayerEntry { parent: at.checked_sub(1).map(|at| at as u32), ..layer(1) })
            .collect();
        let error = Catalogue::parse(&long.to_json()).unwrap_err().to_string();
        assert_eq!(error, format!("its layer {CHAIN_MAX} cannot be: it lies on too many others"));
    }

    #[test]
    fn the_same_again_is_no_news() {
        let mut draft = Draft::new(catalogue(), 200, &BTreeSet::new());
        let two = draft.chain([layer(1), layer(2)].into_iter());
        draft.record(record(20, two, 200), false);
        assert!(draft.finish().is_none());
        // Another result of a key stays out, unless it was made on purpose.
        let other = |replaces| {
            let mut draft = Draft::new(catalogue(), 200, &BTreeSet::new());
            let three = draft.chain([layer(3)].into_iter());
            draft.record(record(20, three, 200), replaces);
            draft.finish().map(|catalogue| catalogue.chain(catalogue.records[1].layer)[0].diff_id)
        };
        assert_eq!((other(false), other(true)), (None, Some(DiffId(digest(3)))));
    }

    #[test]
    fn records_on_what_is_broken_go_with_its_layers() {
        let draft = Draft::new(catalogue(), 100, &BTreeSet::from([DiffId(digest(2))]));
        let upper = draft.finish().expect("one is gone");
        assert_eq!((upper.records.len(), upper.layers.len()), (1, 1));
        assert_eq!(upper.records[0].key, digest(10));
        let draft = Draft::new(catalogue(), 100, &BTreeSet::from([DiffId(digest(1))]));
        let lower = draft.finish().expect("both are gone");
        assert_eq!((lower.records.len(), lower.layers.len()), (0, 0));
    }

    #[test]
    fn what_is_too_much_leaves_the_oldest_out_first() {
        let mut large = catalogue();
        let parent = |at: usize| (!at.is_multiple_of(CHAIN_MAX)).then(|| at as u32 - 1);
        let chains = LAYERS_MAX / CHAIN_MAX + 1;
        large.layers =
            (0..chains * CHAIN_MAX).map(|at| LayerEntry { parent: parent(at), ..layer(1) }).collect();
        let top = |chain: usize| Some(((chain + 1) * CHAIN_MAX - 1) as u32);
        large.records =
            (0..chains).map(|chain| record(chain as u8, top(chain), 100 + chain as i64)).collect();
        let newest = newest(&large.layers, large.records);
        let keys: Vec<_> = newest.iter().map(|record| record.key).collect();
        let expected: Vec<_> = (1..chains as u8).rev().map(digest).collect();
        assert_eq!(keys, expected);
    }

    #[test]
    fn what_nobody_uses_goes_with_its_layers() {
        let late = 100 + UNUSED_S_MAX;
        let mut draft = Draft::new(catalogue(), late, &BTreeSet::new());
        let one = draft.chain([layer(1)].into_iter());
        draft.record(record(10, one, late), false);
        let catalogue = draft.finish().expect("the time of the use is old");
        assert_eq!((catalogue.records.len(), catalogue.records[0].used), (2, late));
        let draft = Draft::new(catalogue, late + 1, &BTreeSet::new());
        let catalogue = draft.finish().expect("one is gone");
        assert_eq!((catalogue.records.len(), catalogue.layers.len()), (1, 1));
    }
}
