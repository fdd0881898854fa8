//! Writes a catalogue: what there was, and what a build adds.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use image::{DiffId, Digest};

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
    pub(in crate::remote_cache) fn chain(&mut self, layers: impl Iterator<Item = LayerEntry>) -> Option<u32> {
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

    /// The catalogue, if it says anything that the old one did not. The newest records stay when there are too many.
    pub(in crate::remote_cache) fn finish(self) -> Option<Catalogue> {
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
