//! Records, layers and blobs go in batches.
//!
//! The kernel keeps the locks of a file in a list that whoever takes one walks, also a build that looks something up.
//! So no more is claimed at once than keeps that walk short. And who looks for something that is claimed waits for the end of
//! one batch, not of the collection.

use std::collections::{BTreeSet, HashMap, HashSet};

use image::Digest;

use super::Claims;
use super::census::{Census, Pointer};
use super::collect::Collection;
use super::plan::{self, Chosen};
use crate::byte_lock::Place;
use crate::snapshot::layer_name;
use crate::{LayerId, StoreError};

/// Layers, or blobs, that are claimed at once: a walk past so many locks takes some 5 us. Each batch costs a look at all
/// records, so it is not less.
const BATCH_MAX: usize = 1_024;

/// Records that go together, with those of their layers that nothing else will point at in the end.
#[derive(Default)]
struct Batch {
    records: Vec<usize>,
    layers: BTreeSet<LayerId>,
}

/// What was not removed yet.
struct Left<'a> {
    /// How many records point at a layer.
    pointers: HashMap<LayerId, u64>,
    /// Names of the diff ids of each layer.
    names: HashMap<LayerId, Vec<&'a str>>,
    /// Files of records that are gone.
    removed: BTreeSet<String>,
    /// Layers that are gone.
    gone: HashSet<LayerId>,
}

impl Collection<'_> {
    /// Removes the chosen records, and all layers and blobs that nothing points at then.
    pub(super) fn layers_and_records(
        &mut self,
        chosen: &Chosen,
        with_orphans: bool,
    ) -> Result<(), StoreError> {
        let census = self.census;
        let mut left = Left::new(census);
        let still = plan::layers_of(census, |number| !chosen.records.contains(&number));
        let is_orphan = |id: &&LayerId| !left.pointers.contains_key(id) && !still.contains(id);
        let orphans: Vec<LayerId> = match with_orphans {
            true => census.layers.keys().filter(is_orphan).copied().collect(),
            false => Vec::new(),
        };
        self.useless(&mut left)?;
        for batch in batches(census, &chosen.records, &still) {
            self.batch(&batch, &mut left)?;
        }
        for layers in orphans.chunks(BATCH_MAX) {
            let batch = Batch { records: Vec::new(), layers: layers.iter().copied().collect() };
            self.batch(&batch, &mut left)?;
        }
        self.blobs(&left)
    }

    /// Removes files that name nothing.
    fn useless(&mut self, left: &mut Left<'_>) -> Result<(), StoreError> {
        let disk = self.store.disk();
        for name in &self.census.useless_records {
            disk.remove(name)?;
            left.removed.insert(name.clone());
        }
        for (name, layer) in &self.census.diff_ids {
            // Layers that are newer than the census have newer names as well.
            let is_useless = match layer {
                Some(layer) => !self.census.layers.contains_key(layer) && !disk.exists(&layer_name(layer))?,
                None => true,
            };
            if is_useless {
                disk.remove(name)?;
            }
        }
        Ok(())
    }

    fn batch(&mut self, batch: &Batch, left: &mut Left<'_>) -> Result<(), StoreError> {
        let claims = Claims::new(self.store.disk())?;
        let mut claimed = BTreeSet::new();
        for id in &batch.layers {
            if self.claim(&claims, Place::of_layer(id))? {
                claimed.insert(*id);
            }
        }
        for number in &batch.records {
            // A record goes whole, so one that has a layer which has to stay keeps all of its layers.
            let layers = &self.census.records[*number].layers;
            if layers.iter().all(|id| claimed.contains(id) || !batch.layers.contains(id)) {
                self.record(*number, left)?;
            }
        }
        let news = self.census.news(self.store, &left.removed)?;
        claimed.retain(|id| !left.is_pointed_at(id) && !news.layers.contains(id));
        for id in &claimed {
            self.layer(id, left)?;
        }
        drop(claims);
        self.discard_staged()
    }

    fn record(&mut self, number: usize, left: &mut Left<'_>) -> Result<(), StoreError> {
        let record = &self.census.records[number];
        self.store.disk().remove(&record.file)?;
        left.removed.insert(record.file.clone());
        for id in &record.layers {
            left.pointers.entry(*id).and_modify(|count| *count -= 1);
        }
        self.pruned.bytes += record.size_bytes;
        if record.layers.is_empty() || record.pointer == Pointer::Image {
            self.pruned.ids.push(record.id().to_owned());
        }
        Ok(())
    }

    fn layer(&mut self, id: &LayerId, left: &mut Left<'_>) -> Result<(), StoreError> {
        for name in left.names.get(id).into_iter().flatten() {
            self.store.disk().remove(name)?;
        }
        if self.move_away(&layer_name(id))? {
            self.removed(id.to_string(), self.census.layers[id].size_bytes);
        }
        left.gone.insert(*id);
        Ok(())
    }

    /// Removes blobs that nothing points at which is left.
    fn blobs(&mut self, left: &Left<'_>) -> Result<(), StoreError> {
        let needed = left.needed_blobs(self.census);
        let unneeded: Vec<Digest> =
            self.census.blobs.keys().filter(|blob| !needed.contains(blob)).copied().collect();
        for blobs in unneeded.chunks(BATCH_MAX) {
            let claims = Claims::new(self.store.disk())?;
            let mut claimed = Vec::new();
            for blob in blobs {
                if self.claim(&claims, Place::of_blob(blob))? {
                    claimed.push(*blob);
                }
            }
            let news = self.census.news(self.store, &left.removed)?;
            for blob in claimed.into_iter().filter(|blob| !news.blobs.contains(blob)) {
                if self.store.disk().remove(&format!("blobs/sha256/{}", blob.hex()))? {
                    self.removed(blob.to_string(), self.census.blobs[&blob]);
                }
            }
        }
        Ok(())
    }
}

/// Cuts what goes into batches. `still` are the layers that will be pointed at in the end.
fn batches(census: &Census, records: &BTreeSet<usize>, still: &HashSet<LayerId>) -> Vec<Batch> {
    let mut records: Vec<usize> = records.iter().copied().collect();
    // Records of one chain of layers are beside each other then, and few layers are claimed more than once.
    records.sort_by(|a, b| census.records[*a].layers.cmp(&census.records[*b].layers));
    let mut batches = vec![Batch::default()];
    for number in records {
        if batches.last().is_some_and(|batch| batch.layers.len() >= BATCH_MAX) {
            batches.push(Batch::default());
        }
        let batch = batches.last_mut().expect("there is one from the beginning");
        batch.records.push(number);
        batch.layers.extend(census.records[number].layers.iter().filter(|id| !still.contains(id)));
    }
    batches.retain(|batch| !batch.records.is_empty());
    batches
}

impl<'a> Left<'a> {
    fn new(census: &'a Census) -> Self {
        let mut pointers: HashMap<LayerId, u64> = HashMap::new();
        for layer in census.records.iter().flat_map(|record| &record.layers) {
            *pointers.entry(*layer).or_default() += 1;
        }
        let mut names: HashMap<LayerId, Vec<&str>> = HashMap::new();
        for (name, layer) in &census.diff_ids {
            if let Some(layer) = layer {
                names.entry(*layer).or_default().push(name);
            }
        }
        Self { pointers, names, removed: BTreeSet::new(), gone: HashSet::new() }
    }

    fn is_pointed_at(&self, layer: &LayerId) -> bool {
        self.pointers.get(layer).is_some_and(|count| *count > 0)
    }

    /// Blobs that something points at which was not removed.
    fn needed_blobs(&self, census: &Census) -> HashSet<Digest> {
        let records = census.records.iter().filter(|record| !self.removed.contains(&record.file));
        let layers = census.layers.iter().filter(|(id, _)| !self.gone.contains(id));
        let of_records = records.flat_map(|record| record.blobs.iter().copied());
        let of_layers = layers.filter_map(|(_, layer)| layer.blob);
        of_records.chain(of_layers).chain(census.image_blobs.iter().copied()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gc::census::SeenRecord;

    /// Chains of layers, each record with one layer more than the one before it, in an order of chance.
    fn chains(count: usize, length: usize) -> Census {
        let mut census = Census::default();
        for number in 0..count * length {
            // Coprime to both: every record once.
            let number = number * 7_919 % (count * length);
            let (chain, depth) = (number / length, number % length);
            let layers = (0..=depth).map(|depth| layer(chain, depth)).collect();
            census.records.push(SeenRecord {
                pointer: Pointer::Record,
                file: format!("records/{number}"),
                layers,
                blobs: Vec::new(),
                size_bytes: 1,
                created_unix_s: 0,
                used_unix_ns: 0,
                description: String::new(),
            });
        }
        census
    }

    fn layer(chain: usize, depth: usize) -> LayerId {
        let mut id = [0; 16];
        // As if by chance, as ids are.
        id[..8].copy_from_slice(&(chain as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes());
        id[8..].copy_from_slice(&(depth as u64).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_le_bytes());
        LayerId(id)
    }

    #[test]
    fn batches_are_small_and_claim_few_layers_twice() {
        let (count, length) = (300, 50);
        let census = chains(count, length);
        let all: BTreeSet<usize> = (0..census.records.len()).collect();
        let still = HashSet::from([layer(0, 0), layer(1, 0)]);
        let batches = batches(&census, &all, &still);
        let records: Vec<usize> = batches.iter().flat_map(|batch| batch.records.iter().copied()).collect();
        assert_eq!((records.len(), records.iter().collect::<BTreeSet<_>>().len()), (all.len(), all.len()));
        assert!(batches.iter().all(|batch| batch.layers.len() < BATCH_MAX + length));
        assert!(batches.iter().all(|batch| !batch.layers.iter().any(|id| still.contains(id))));
        let claimed: usize = batches.iter().map(|batch| batch.layers.len()).sum();
        let wanted = count * length - still.len();
        assert!((wanted..wanted + batches.len() * length).contains(&claimed), "{claimed} of {wanted}");
    }
}
