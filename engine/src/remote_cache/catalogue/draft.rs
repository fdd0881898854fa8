//! Writes a catalogue: what there was, and what a build adds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use image::{DiffId, Digest};

use crate::remote_cache::foreign::{ForeignLink, ForeignRecord};

use super::{
    CHAIN_MAX, Catalogue, LAYERS_MAX, LayerEntry, MOUNTS_MAX, MountEntry, RECORDS_MAX, RecordEntry,
    StateEntry, UNUSED_S_MAX, USE_SLACK_S, VERSION,
};

/// A catalogue that is written: what there was, and what a build adds.
pub(in crate::remote_cache) struct Draft {
    catalogue: Catalogue,
    places: HashMap<(Option<u32>, DiffId, Option<i64>), u32>,
    records: BTreeMap<Digest, usize>,
    states: BTreeMap<(Digest, Digest), usize>,
    /// The places of records for BuildKit, by their keys and inputs.
    foreign: HashMap<(Digest, Vec<Vec<ForeignLink>>), u32>,
    now_unix_s: i64,
    is_changed: bool,
}

impl Draft {
    /// Begins with what there was. Records on layers that are `broken` are left out.
    pub(in crate::remote_cache) fn new(old: Catalogue, now_unix_s: i64, broken: &BTreeSet<DiffId>) -> Self {
        let catalogue = Catalogue { version: VERSION, ..Catalogue::default() };
        let mut draft = Self {
            catalogue,
            places: HashMap::new(),
            records: BTreeMap::new(),
            states: BTreeMap::new(),
            foreign: HashMap::new(),
            now_unix_s,
            is_changed: false,
        };
        let oldest = now_unix_s - UNUSED_S_MAX;
        let is_broken = old.chains_with(broken);
        let (kept, dropped): (Vec<_>, Vec<_>) = old.records.into_iter().partition(|record| {
            record.used >= oldest && !record.layer.is_some_and(|layer| is_broken[layer as usize])
        });
        draft.is_changed |= !dropped.is_empty();
        let places = draft.adopt(&old.layers, kept);
        draft.adopt_foreign(old.foreign, &places);
        for state in old.states.into_iter().filter(|state| state.used >= oldest) {
            draft.states.insert((state.continued, state.content), draft.catalogue.states.len());
            draft.catalogue.states.push(state);
        }
        let mounts = old.mounts.into_iter().filter(|mount| mount.used >= oldest);
        draft.catalogue.mounts = mounts.collect();
        draft
    }

    /// Adds records of another catalogue, with those of its layers on which they stand. Returns the new places of its
    /// layers.
    fn adopt(&mut self, layers: &[LayerEntry], records: Vec<RecordEntry>) -> Vec<Option<u32>> {
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
        places
    }

    /// Adds the records for BuildKit of another catalogue whose layers are at these places now, and those that they were
    /// made from.
    fn adopt_foreign(&mut self, records: Vec<ForeignRecord>, places: &[Option<u32>]) {
        let place = |layer: Option<u32>| places[layer? as usize];
        let mut is_needed: Vec<bool> = records.iter().map(|record| place(record.layer).is_some()).collect();
        for (at, record) in records.iter().enumerate().rev() {
            if is_needed[at] {
                let links = record.inputs.iter().flatten();
                links.for_each(|link| is_needed[link.record as usize] = true);
            }
        }
        let needed = records.into_iter().zip(is_needed).map(|(record, is_needed)| {
            is_needed.then(|| ForeignRecord { layer: place(record.layer), ..record })
        });
        self.add_foreign(needed);
    }

    /// Adds records for BuildKit. One whose inputs do not come before it is left out.
    pub(in crate::remote_cache) fn foreign(&mut self, records: Vec<ForeignRecord>) {
        if self.catalogue.foreign.len() + records.len() > RECORDS_MAX {
            self.catalogue.foreign.clear();
            self.foreign.clear();
        }
        self.add_foreign(records.into_iter().map(Some));
    }

    fn add_foreign(&mut self, records: impl Iterator<Item = Option<ForeignRecord>>) {
        let mut places: Vec<Option<u32>> = Vec::new();
        for record in records {
            let place = record.and_then(|record| {
                let moved = |link: &ForeignLink| {
                    let record = places.get(link.record as usize).copied().flatten()?;
                    Some(ForeignLink { record, ..*link })
                };
                let inputs: Option<Vec<Vec<ForeignLink>>> =
                    record.inputs.iter().map(|links| links.iter().map(moved).collect()).collect();
                Some(self.foreign_place(ForeignRecord { inputs: inputs?, ..record }))
            });
            places.push(place);
        }
    }

    /// The place of a record for BuildKit. Of two results the newer one stays.
    fn foreign_place(&mut self, record: ForeignRecord) -> u32 {
        let next = u32::try_from(self.catalogue.foreign.len()).unwrap_or(u32::MAX);
        let place = *self.foreign.entry((record.key, record.inputs.clone())).or_insert(next);
        if place == next {
            self.catalogue.foreign.push(record);
            return place;
        }
        let known = &mut self.catalogue.foreign[place as usize];
        if record.layer.is_some() && (known.layer.is_none() || known.created < record.created) {
            (known.layer, known.created) = (record.layer, record.created);
        }
        place
    }

    /// Whether it says anything that the old catalogue did not.
    pub(in crate::remote_cache) fn is_changed(&self) -> bool {
        self.is_changed
    }

    /// The place of the topmost of these layers, which are lowest first.
    pub(in crate::remote_cache) fn chain(&mut self, layers: impl Iterator<Item = LayerEntry>) -> Option<u32> {
        let mut parent = None;
        for layer in layers {
            parent = Some(self.layer(parent, layer));
        }
        parent
    }

    /// The place of a layer on this one.
    pub(in crate::remote_cache) fn layer(&mut self, parent: Option<u32>, layer: LayerEntry) -> u32 {
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
    pub(in crate::remote_cache) fn record(&mut self, record: RecordEntry, replaces: bool) {
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
    pub(in crate::remote_cache) fn state(&mut self, state: StateEntry) {
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
    pub(in crate::remote_cache) fn mount(&mut self, mount: MountEntry) {
        self.catalogue.mounts.retain(|other| other.id != mount.id);
        self.catalogue.mounts.insert(0, mount);
        self.catalogue.mounts.truncate(MOUNTS_MAX);
        self.is_changed = true;
    }

    /// The layers alone.
    pub(in crate::remote_cache) fn into_layers(self) -> Catalogue {
        self.catalogue
    }

    /// The catalogue, if it says anything that the old one did not. The newest records stay when there are too many.
    pub(in crate::remote_cache) fn finish(self) -> Option<Catalogue> {
        let Self { mut catalogue, is_changed, now_unix_s, .. } = self;
        if !is_changed {
            return None;
        }
        if catalogue.layers.len() > LAYERS_MAX || catalogue.records.len() > RECORDS_MAX {
            let newest = newest(&catalogue.layers, std::mem::take(&mut catalogue.records));
            let mut fewer = Self::new(Catalogue::default(), now_unix_s, &BTreeSet::new());
            let places = fewer.adopt(&catalogue.layers, newest);
            fewer.adopt_foreign(std::mem::take(&mut catalogue.foreign), &places);
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
pub(super) fn newest(layers: &[LayerEntry], mut records: Vec<RecordEntry>) -> Vec<RecordEntry> {
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
