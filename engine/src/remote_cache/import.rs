//! Looks keys up in the remote caches of a build.

use std::collections::hash_map::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache::{Key, LayerId, Record, Store};
use graph::{BuildGraph, VertexId};
use image::{DiffId, Digest};
use tokio::sync::OnceCell;

use super::away::{AwayLayer, AwayLayers, Link, Origin, in_time};
use super::catalogue::{Catalogue, LayerEntry, RecordEntry, StateEntry};
use super::foreign::{Foreign, Lookup};
use super::{
    CATALOGUE_WAIT, CacheImport, CachePlace, Depot, RemoteCacheError, RemoteCaches, TravellingMounts, mounts,
};
use crate::Engine;
use crate::blocking::blocking;
use crate::ops::{Layers, Output};
use crate::steps::Steps;

/// Layers of one cache that were not what they should be, after which nothing of it is used any more.
const LOST_MAX: usize = 3;

/// The remote caches of a build. Nothing is fetched before a key is asked for that the store does not know.
pub(crate) struct Imports {
    caches: Vec<Imported>,
    steps: Arc<Steps>,
    /// What is known of the vertices, for the records of the store. None when there are no caches.
    graph: Option<BuildGraph>,
    /// What BuildKit calls the results.
    foreign: Arc<Foreign>,
    /// Layers of base images, which are no business of the caches.
    bases: HashMap<DiffId, Link>,
    epoch: Option<i64>,
    mounts: TravellingMounts,
    /// Layers that were looked for, by the place of the cache: chains have most of their layers in common.
    links: Mutex<HashMap<(usize, DiffId), Link>>,
    distrusted: Mutex<Distrusted>,
    /// How long steps took elsewhere whose results were found; in milliseconds.
    took: Mutex<HashMap<VertexId, u64>>,
}

#[derive(Default)]
struct Distrusted {
    layers: BTreeSet<DiffId>,
    /// Places in the list of caches.
    caches: BTreeSet<usize>,
    /// Names of cache mounts.
    mounts: BTreeSet<String>,
}

struct Imported {
    place: CachePlace,
    engine: Engine,
    wait: Duration,
    loaded: OnceCell<Option<Loaded>>,
}

/// A catalogue that has come.
struct Loaded {
    depot: Arc<Depot>,
    manifest: Digest,
    catalogue: Arc<Catalogue>,
    records: HashMap<Digest, usize>,
    /// What BuildKit knows of it.
    foreign: Arc<Lookup>,
}

/// A result in a remote cache.
pub(crate) struct Hit {
    pub(crate) output: Output,
    /// The key that dependents see.
    pub(crate) offered: Digest,
    pub(crate) created_unix_ns: i64,
    pub(crate) ingredients: Vec<(String, String)>,
}

impl Imports {
    pub(crate) fn new(
        engine: &Engine,
        caches: &RemoteCaches,
        steps: &Arc<Steps>,
        graph: &BuildGraph,
        foreign: &Arc<Foreign>,
        (bases, epoch): (HashMap<DiffId, Link>, Option<i64>),
    ) -> Self {
        let imported = |import: &CacheImport| Imported {
            place: import.place.clone(),
            engine: engine.clone(),
            wait: import.timeout.unwrap_or(CATALOGUE_WAIT),
            loaded: OnceCell::new(),
        };
        Self {
            caches: caches.imports.iter().map(imported).collect(),
            mounts: caches.mounts,
            steps: steps.clone(),
            graph: (!caches.imports.is_empty()).then(|| graph.clone()),
            foreign: foreign.clone(),
            bases,
            epoch,
            links: Mutex::default(),
            distrusted: Mutex::default(),
            took: Mutex::default(),
        }
    }

    /// What the first cache that knows the key says of it. The store remembers it if all layers are there.
    pub(crate) async fn find(
        &self,
        store: &Store,
        id: VertexId,
        key: Digest,
    ) -> Result<Option<Hit>, cache::StoreError> {
        for (at, cache) in self.caches.iter().enumerate() {
            if self.lock().caches.contains(&at) {
                continue;
            }
            let Some(loaded) = cache.loaded(&self.steps).await else { continue };
            let record = match loaded.records.get(&key) {
                Some(at) => Some(loaded.catalogue.records[*at].clone()),
                None => self.foreign_record(&cache.place, loaded, id, key).await,
            };
            let Some(record) = record else { continue };
            if let Some(links) = self.links(store, (at, loaded), &record)? {
                return self.hit(store, id, &record, links).map(Some);
            }
        }
        Ok(None)
    }

    /// What BuildKit has left of a vertex, as if it were a record of ours.
    async fn foreign_record(
        &self,
        place: &CachePlace,
        loaded: &Loaded,
        id: VertexId,
        key: Digest,
    ) -> Option<RecordEntry> {
        if loaded.catalogue.foreign.is_empty() {
            return None;
        }
        if let Some(why) = self.foreign.why_unknown(id) {
            let graph = self.graph.as_ref().expect("there is a graph where there are caches");
            let name = &graph.vertex(id).label.name;
            let step = self.steps.begin(&format!("importing cache from {place}"));
            self.steps.fail(step, format!("what BuildKit has of `{name}` cannot be found: {why}"));
            return None;
        }
        let (lookup, catalogue, foreign) =
            (loaded.foreign.clone(), loaded.catalogue.clone(), self.foreign.clone());
        let found = blocking(move || lookup.find(&catalogue.foreign, &foreign, id)).await?;
        let record = &loaded.catalogue.foreign[found];
        let (layer, created) = (record.layer, record.created);
        Some(RecordEntry { key, offered: None, layer, created, took: None, used: 0 })
    }

    /// The layers of a record; none when one of them cannot be had.
    fn links(
        &self,
        store: &Store,
        (at, loaded): (usize, &Loaded),
        record: &RecordEntry,
    ) -> Result<Option<Vec<Link>>, cache::StoreError> {
        let chain = loaded.catalogue.chain(record.layer);
        let distrusted = self.distrusted_layers();
        if chain.iter().any(|layer| distrusted.contains(&layer.diff_id)) {
            return Ok(None);
        }
        let mut known = self.links.lock().expect("no holder of the lock panics");
        let mut links = Vec::with_capacity(chain.len());
        for layer in chain {
            let key = (at, layer.diff_id);
            // The same files with other times are another layer.
            let is_base = self.bases.contains_key(&layer.diff_id);
            if !is_base && layer.epoch != self.epoch {
                return Ok(None);
            }
            links.push(match known.entry(key) {
                Entry::Occupied(known) => known.get().clone(),
                Entry::Vacant(unknown) => match self.link(store, loaded, layer)? {
                    Some(link) => unknown.insert(link).clone(),
                    None => return Ok(None),
                },
            });
        }
        Ok(Some(links))
    }

    fn link(
        &self,
        store: &Store,
        loaded: &Loaded,
        layer: &LayerEntry,
    ) -> Result<Option<Link>, cache::StoreError> {
        let LayerEntry { diff_id, epoch, blob, .. } = layer;
        if let Some(link) = self.bases.get(diff_id) {
            return Ok(Some(link.clone()));
        }
        if let Some(here) = store.layer_by_diff_id(diff_id)? {
            return Ok(Some(Link::Here(here.id())));
        }
        Ok(blob.as_ref().map(|blob| {
            let origin = Origin::Cache(loaded.depot.clone());
            let (diff_id, epoch) = (*diff_id, *epoch);
            Link::Away(Arc::new(AwayLayer { diff_id, blob: blob.descriptor(), epoch, origin }))
        }))
    }

    fn hit(
        &self,
        store: &Store,
        id: VertexId,
        entry: &RecordEntry,
        links: Vec<Link>,
    ) -> Result<Hit, cache::StoreError> {
        let graph = self.graph.as_ref().expect("there is a graph where there are caches");
        let vertex = graph.vertex(id);
        let here: Option<Vec<_>> = links
            .iter()
            .map(|link| match link {
                Link::Here(id) => Some(*id),
                Link::Away(_) => None,
            })
            .collect();
        let record = Record {
            key: Key(entry.key),
            offered: entry.offered.map(Key),
            layers: here.clone().unwrap_or_default(),
            content: None,
            created_unix_ns: entry.created,
            description: vertex.label.name.clone(),
            ingredients: vertex.op.ingredients(),
        };
        if let Some(took) = entry.took {
            self.took.lock().expect("no holder of the lock panics").insert(id, took);
        }
        let (created_unix_ns, ingredients) = (entry.created, record.ingredients.clone());
        let output = match here {
            Some(ids) => {
                store.put_record(&record)?;
                Output::Layers(Layers { ids: ids.into(), created_unix_ns })
            }
            None => Output::Away(AwayLayers {
                links: links.into(),
                created_unix_ns,
                record: Some(Arc::new(record)),
            }),
        };
        Ok(Hit { output, offered: entry.offered.unwrap_or(entry.key), created_unix_ns, ingredients })
    }

    /// The files of a cache mount, as a layer, from the first cache that has it. What does not come is a miss.
    pub(crate) async fn mount(&self, store: &Arc<Store>, name: &str) -> Option<LayerId> {
        if self.mounts == TravellingMounts::None {
            return None;
        }
        for (at, cache) in self.caches.iter().enumerate() {
            if self.lock().caches.contains(&at) {
                continue;
            }
            let Some(loaded) = cache.loaded(&self.steps).await else { continue };
            let Some(entry) = loaded.catalogue.mounts.iter().find(|mount| mount.id == name) else { continue };
            let step = self.steps.begin(&format!("importing cache mount {name}"));
            match in_time(entry.blobs_bytes(), mounts::restore(store, &loaded.depot, entry)).await {
                Ok(layer) => {
                    self.steps.complete(step);
                    return Some(layer);
                }
                Err(error) => {
                    self.steps.fail(step, error.line());
                    if error.is_of_one_blob() || !error.is_network() {
                        self.lock().mounts.insert(name.to_owned());
                    }
                }
            }
        }
        None
    }

    /// How long a step took elsewhere, if its result comes from there.
    pub(crate) fn took(&self, id: VertexId) -> Option<Duration> {
        let took = self.took.lock().expect("no holder of the lock panics").get(&id).copied();
        took.map(Duration::from_millis)
    }

    /// What steps came to that continued this, as far as a catalogue has come already.
    pub(crate) fn states(&self, continued: Digest) -> Vec<(Digest, Digest)> {
        let loaded = self.caches.iter().filter_map(|cache| cache.loaded.get()?.as_ref());
        let states = loaded.flat_map(|loaded| &loaded.catalogue.states);
        let wanted = states.filter(|state| state.continued == continued);
        wanted.map(|StateEntry { content, offered, .. }| (*content, *offered)).collect()
    }

    /// A layer did not come: nothing that stands on it is found from now on. A cache that loses several, or cannot be
    /// reached at all, is given up.
    pub(crate) fn distrust(&self, layer: &AwayLayer, error: &RemoteCacheError) {
        let step = self.steps.begin(&format!("importing cache layer {}", layer.blob.digest));
        self.steps.fail(step, error.line());
        let mut distrusted = self.lock();
        distrusted.layers.insert(layer.diff_id);
        if error.is_of_one_blob() && distrusted.layers.len() < LOST_MAX {
            return;
        }
        let Origin::Cache(lost) = &layer.origin else { return };
        for (at, cache) in self.caches.iter().enumerate() {
            let loaded = cache.loaded.get().and_then(Option::as_ref);
            if loaded.is_some_and(|loaded| Arc::ptr_eq(&loaded.depot, lost)) {
                distrusted.caches.insert(at);
            }
        }
    }

    /// Diff ids of the layers that did not come.
    pub(crate) fn distrusted_layers(&self) -> BTreeSet<DiffId> {
        self.lock().layers.clone()
    }

    /// The same, and the layers that nobody looked at because of them: those above them, and all of a cache that was
    /// given up. What is made here of these is better than what may be there.
    pub(crate) fn doubtful_layers(&self) -> BTreeSet<DiffId> {
        let distrusted = self.lock();
        let mut doubtful = distrusted.layers.clone();
        for (at, cache) in self.caches.iter().enumerate() {
            let Some(Loaded { catalogue, .. }) = cache.loaded.get().and_then(Option::as_ref) else {
                continue;
            };
            if distrusted.caches.contains(&at) {
                doubtful.extend(catalogue.layers.iter().map(|layer| layer.diff_id));
            } else if !distrusted.layers.is_empty() {
                doubtful.extend(catalogue.standing_on(&distrusted.layers));
            }
        }
        doubtful
    }

    /// Whether what a cache has of a mount was not what it should be.
    pub(crate) fn has_lost_mount(&self, name: &str) -> bool {
        self.lock().mounts.contains(name)
    }

    /// The catalogue at a place, if it has come already: with the digest of its manifest.
    pub(crate) fn known(&self, place: &CachePlace) -> Option<(Digest, &Catalogue)> {
        let cache = self.caches.iter().find(|cache| cache.place == *place)?;
        let loaded = cache.loaded.get()?.as_ref()?;
        Some((loaded.manifest, &loaded.catalogue))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Distrusted> {
        self.distrusted.lock().expect("no holder of the lock panics")
    }
}

impl Imported {
    /// The catalogue, which is fetched once.
    async fn loaded(&self, steps: &Steps) -> Option<&Loaded> {
        let load = Box::pin(async {
            let step = steps.begin(&format!("importing cache manifest from {}", self.place));
            let loading = tokio::time::timeout(self.wait, self.load()).await;
            match loading.unwrap_or(Err(RemoteCacheError::TimedOut { waited: self.wait })) {
                Ok(loaded) => {
                    steps.complete(step);
                    loaded
                }
                Err(error) => {
                    steps.fail(step, error.line());
                    None
                }
            }
        });
        self.loaded.get_or_init(|| load).await.as_ref()
    }

    async fn load(&self) -> Result<Option<Loaded>, RemoteCacheError> {
        let depot = Depot::new(&self.engine, &self.place)?;
        let Some(found) = depot.read().await? else { return Ok(None) };
        let records = (0..).zip(&found.catalogue.records).map(|(at, record)| (record.key, at)).collect();
        let (manifest, catalogue) = (found.manifest, Arc::new(found.catalogue));
        let foreign = Arc::new(Lookup::new(&catalogue.foreign));
        Ok(Some(Loaded { depot: Arc::new(depot), manifest, catalogue, records, foreign }))
    }
}
