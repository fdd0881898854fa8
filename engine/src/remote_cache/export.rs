//! Writes what a build came to into a remote cache: the difference to what is there.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cache::{LayerId, Store};
use graph::{BuildGraph, Op, VertexId};
use image::{Descriptor, DiffId, Digest, ImageId};
use solver::Solved;

use super::catalogue::{Catalogue, Draft, MountEntry, RecordEntry, StateEntry};
use super::depot::Found;
use super::results::{Outcome, OwnLayer, Whereabouts, entries};
use super::send::Sending;
use super::{
    CATALOGUE_WAIT, CacheExport, CacheFailure, CacheFormat, CacheWait, Depot, RemoteCacheError,
    TravellingMounts, mounts,
};
use crate::BuildError;
use crate::blocking::blocking;
use crate::images::{LayerForm, LayerTar, compressed};
use crate::ops::{BuildWorker, Output};
use crate::redact::Search;

/// How often a catalogue is written anew since another build wrote its own in the meantime.
const ROUNDS_MAX: usize = 5;
pub(super) const NANOSECONDS: i64 = 1_000_000_000;

/// A build that has ended.
pub(crate) struct Ended<'a> {
    pub(crate) worker: &'a BuildWorker,
    pub(crate) graph: &'a BuildGraph,
    pub(crate) targets: &'a [VertexId],
    pub(crate) solved: &'a Solved<Output>,
    pub(crate) mounts: TravellingMounts,
    pub(crate) wait: CacheWait,
}

/// What has the name of a cache that is written.
struct There {
    /// The digest of its manifest; none when nothing has the name.
    manifest: Option<Digest>,
    catalogue: Catalogue,
}

/// What cannot be read is replaced: it is of no use to anybody.
///
/// # Errors
///
/// What does not come may be a catalogue all the same, and stays.
async fn replaceable(
    depot: &Depot,
    read: Result<Option<Found>, RemoteCacheError>,
) -> Result<There, RemoteCacheError> {
    Ok(match read {
        Ok(Some(Found { manifest, catalogue })) => There { manifest: Some(manifest), catalogue },
        Ok(None) => There { manifest: None, catalogue: Catalogue::default() },
        Err(error) if error.is_network() && !error.is_of_one_blob() => return Err(error),
        Err(_) => There { manifest: depot.current().await?, catalogue: Catalogue::default() },
    })
}

impl Ended<'_> {
    /// Writes the remote caches that a build asks for, one after the other.
    ///
    /// # Errors
    ///
    /// Only of a cache whose failure is fatal.
    pub(crate) async fn export(&self, exports: &[CacheExport], image: ImageId) -> Result<(), BuildError> {
        for export in exports {
            let steps = &self.worker.steps;
            let step = steps.begin(&format!("exporting cache to {}", export.place));
            let exporting = self.export_to(export, image);
            let exported = match export.timeout.or(self.time_max()) {
                None => exporting.await,
                Some(wait) => {
                    let ended = tokio::time::timeout(wait, exporting).await;
                    ended.unwrap_or(Err(RemoteCacheError::TimedOut { waited: wait }))
                }
            };
            match exported {
                Ok(()) => steps.complete(step),
                Err(error) => {
                    steps.fail(step, error.line());
                    if export.failure == CacheFailure::Fatal {
                        let place = export.place.to_string();
                        return Err(BuildError::CacheExport { place, source: error });
                    }
                }
            }
        }
        Ok(())
    }

    /// A build that does not wait gives a server the time that it has for a catalogue.
    fn time_max(&self) -> Option<Duration> {
        (self.wait == CacheWait::None).then_some(CATALOGUE_WAIT)
    }

    async fn export_to(&self, export: &CacheExport, image: ImageId) -> Result<(), RemoteCacheError> {
        let depot = Depot::new(&self.worker.engine, &export.place)?;
        self.worker.early.settle(self.wait).await;
        let mut results = self.results(export.mode).await?;
        let states = self.states(&results).await?;
        let mut there = replaceable(&depot, self.there(&depot, export).await).await?;
        if there.catalogue == Catalogue::default() {
            depot.prepare().await?;
        }
        self.leave_out_what_is_late(&mut results, export, &there.catalogue);
        let mounts = self.mounts(&depot, export, &there.catalogue).await;
        let (mut blobs, doubtful) = (HashMap::new(), self.worker.imports.doubtful_layers());
        for _ in 0..ROUNDS_MAX {
            let There { manifest, catalogue: old } = there;
            let known = blobs_of(&old, &doubtful);
            self.find_blobs(&known, &results, (export, image), &mut blobs).await?;
            let sending = Sending { depot: &depot, blobs: &blobs, known: &old.blobs(), doubtful: &doubtful };
            let lost = self.send(&sending, &results).await?;
            let mut draft = self.draft(old, &results, &states, (&blobs, &lost));
            mounts.iter().for_each(|mount| draft.mount(mount.clone()));
            if export.format == CacheFormat::BuildKit && draft.is_changed() {
                let foreign = self.foreign_results(&mut draft, &results, (&blobs, &lost));
                draft.foreign(self.foreign(foreign).await);
            }
            let Some(catalogue) = draft.finish() else { return depot.renew(blobs.into_values()).await };
            if depot.current().await? == manifest {
                depot.publish(&catalogue, export).await?;
                return depot.renew(blobs.into_values()).await;
            }
            there = replaceable(&depot, depot.read().await).await?;
        }
        Err(RemoteCacheError::Busy { rounds: ROUNDS_MAX })
    }

    /// Leaves out results with layers that are not there yet, unless they are waited for.
    fn leave_out_what_is_late(&self, results: &mut Vec<Outcome>, export: &CacheExport, there: &Catalogue) {
        if self.wait == CacheWait::All {
            return;
        }
        let known = there.blob_of();
        let is_late = |layer: &OwnLayer| {
            let arrived = || self.worker.early.has_arrived(&export.place, layer.diff_id);
            let is_base = matches!(layer.whereabouts, Whereabouts::Base(_));
            !is_base && !known.contains_key(&layer.diff_id) && !arrived()
        };
        results.retain(|result| !result.layers.iter().any(is_late));
    }

    /// Sends the cache mounts that steps of this build have used. One that does not travel is no reason for the others
    /// to stay.
    async fn mounts(&self, depot: &Depot, export: &CacheExport, there: &Catalogue) -> Vec<MountEntry> {
        let mut entries = Vec::new();
        let is_late = self.wait == CacheWait::None;
        if !export.takes_mounts() || self.mounts != TravellingMounts::All || is_late {
            return entries;
        }
        let used = self.worker.used_mounts.lock().expect("no holder of the lock panics").clone();
        for name in used {
            let old = there.mounts.iter().find(|mount| mount.id == name);
            let steps = &self.worker.steps;
            let step = steps.begin(&format!("exporting cache mount {name}"));
            let search = Search::new(&self.worker.secrets).map(Arc::new);
            let old =
                old.map(|entry| mounts::Old { entry, is_lost: self.worker.imports.has_lost_mount(&name) });
            let sent = mounts::export(&self.worker.store, depot, &name, old, (search, self.now_unix_s()));
            match sent.await {
                Ok(entry) => {
                    steps.complete(step);
                    entries.extend(entry);
                }
                Err(error) => steps.fail(step, error.line()),
            }
        }
        entries
    }

    /// What is there already. A catalogue that was imported need not come again.
    async fn there(&self, depot: &Depot, export: &CacheExport) -> Result<Option<Found>, RemoteCacheError> {
        if let Some((manifest, catalogue)) = self.worker.imports.known(&export.place)
            && depot.current().await? == Some(manifest)
        {
            return Ok(Some(Found { manifest, catalogue: catalogue.clone() }));
        }
        depot.read().await
    }

    /// What each RUN came to, so that one that runs elsewhere and comes to the same is recognised.
    async fn states(&self, results: &[Outcome]) -> Result<Vec<StateEntry>, RemoteCacheError> {
        let mut states = Vec::new();
        let vertices: BTreeSet<VertexId> = results.iter().map(|result| result.trod.vertex).collect();
        for id in vertices {
            let vertex = self.graph.vertex(id);
            let settled = |id: &VertexId| self.solved.vertices[id.index()].as_ref();
            let continued = vertex.inputs.first().and_then(settled).and_then(|below| below.offered);
            let (Op::Run(_), Some(continued), Some(own)) = (&vertex.op, continued, settled(&id)) else {
                continue;
            };
            let top = own.output.layers().and_then(|layers| layers.ids.last().copied());
            let (Some(top), Some(offered)) = (top, own.offered) else { continue };
            let store = self.worker.store.clone();
            let digest = move || store.layer(&top)?.map(|layer| layer.content_digest()).transpose();
            let Some(content) = blocking(digest).await? else { continue };
            let used = self.now_unix_s();
            states.push(StateEntry { continued: continued.0, content, offered: offered.0, used });
        }
        Ok(states)
    }

    /// How each layer travels: as it does already, or compressed now.
    async fn find_blobs(
        &self,
        known: &HashMap<DiffId, Descriptor>,
        results: &[Outcome],
        (export, image): (&CacheExport, ImageId),
        blobs: &mut HashMap<DiffId, Descriptor>,
    ) -> Result<(), RemoteCacheError> {
        for layer in results.iter().flat_map(|result| &result.layers) {
            let OwnLayer { diff_id, epoch, whereabouts } = layer;
            if blobs.contains_key(diff_id) {
                continue;
            }
            let blob = match (known.get(diff_id), whereabouts) {
                (Some(known), _) => known.clone(),
                // BuildKit takes no layers without those below them.
                (None, Whereabouts::Base(Some(id)))
                    if export.format == CacheFormat::BuildKit && self.wait == CacheWait::All =>
                {
                    self.compress(*id, *diff_id, *epoch, (export, image)).await?
                }
                (None, Whereabouts::Base(_)) => continue,
                (None, Whereabouts::Away(away)) => away.blob.clone(),
                (None, Whereabouts::Store(id)) => {
                    self.compress(*id, *diff_id, *epoch, (export, image)).await?
                }
            };
            blobs.insert(*diff_id, blob);
        }
        Ok(())
    }

    async fn compress(
        &self,
        id: LayerId,
        diff_id: DiffId,
        epoch: Option<i64>,
        (export, image): (&CacheExport, ImageId),
    ) -> Result<Descriptor, RemoteCacheError> {
        let (store, form) = (self.worker.store.clone(), export.layers.clone());
        let search = Search::new(&self.worker.secrets);
        let compress = move || {
            let layer = store.layer(&id)?.ok_or(cache::StoreError::NoLayer { id })?;
            searched(&store, &LayerTar::new(image, diff_id, layer, epoch), &form, search)
        };
        blocking(compress).await
    }

    /// What there was and what this build adds, without anything that needs a layer that is `lost`.
    fn draft(
        &self,
        old: Catalogue,
        results: &[Outcome],
        states: &[StateEntry],
        (blobs, lost): (&HashMap<DiffId, Descriptor>, &BTreeSet<DiffId>),
    ) -> Draft {
        let mut broken = self.worker.imports.distrusted_layers();
        broken.extend(lost);
        let mut draft = Draft::new(old, self.now_unix_s(), &broken);
        for Outcome { key, trod, layers } in results.iter().filter(|result| !result.needs(lost)) {
            let layer = draft.chain(entries(layers, blobs));
            let record = RecordEntry {
                key: *key,
                offered: (trod.offered != *key).then_some(trod.offered),
                layer,
                created: trod.created_unix_ns,
                took: trod.ran.then(|| self.worker.meter.took(trod.vertex)).map(milliseconds),
                used: self.now_unix_s(),
            };
            draft.record(record, trod.ran);
        }
        states.iter().for_each(|state| draft.state(state.clone()));
        draft
    }

    fn now_unix_s(&self) -> i64 {
        crate::ops::now_unix_ns() / NANOSECONDS
    }
}

/// A layer in its form, unless there is a secret in it.
pub(super) fn searched(
    store: &Store,
    tar: &LayerTar,
    form: &LayerForm,
    search: Option<Search>,
) -> Result<Descriptor, RemoteCacheError> {
    if let Some(search) = search
        && search.is_in(|to| tar.write(to, None, &|_, _, _| ()))?
    {
        return Err(RemoteCacheError::Secret);
    }
    Ok(compressed(store, tar, form, &|_, _, _| ())?)
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The blobs of a catalogue that are what they should be, by all that is known.
fn blobs_of(catalogue: &Catalogue, doubtful: &BTreeSet<DiffId>) -> HashMap<DiffId, Descriptor> {
    let mut blobs = catalogue.blob_of();
    doubtful.iter().for_each(|doubtful| drop(blobs.remove(doubtful)));
    blobs
}
