//! Sends layers while later steps run, so that little is left to do when the build has ended.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

use cache::{Layer, Store};
use graph::{BuildGraph, VertexId};
use image::{DiffId, ImageId};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::export::searched;
use super::results::wanted;
use super::{CacheExport, CachePlace, CacheWait, Depot, RemoteCacheError};
use crate::Engine;
use crate::blocking::blocking;
use crate::images::{LayerForm, LayerTar};
use crate::redact::Search;
use crate::secrets::Secrets;

/// Layers that are on their way at the same time: the steps that run need the processors as well.
const LAYERS_AT_ONCE_MAX: usize = 2;

/// Layers on their way to the caches of a build that has not ended. Nothing depends on them: what does not arrive is sent at
/// the end, where its error is told.
pub(crate) struct Early {
    ways: Vec<Way>,
    secrets: Secrets,
    slots: Semaphore,
    arrived: Mutex<BTreeSet<(usize, DiffId)>>,
    /// Dropped, they end.
    tasks: Mutex<JoinSet<()>>,
}

/// The way to one cache.
struct Way {
    place: CachePlace,
    depot: Depot,
    form: LayerForm,
    wanted: BTreeSet<VertexId>,
}

impl Early {
    pub(crate) fn new(
        engine: &Engine,
        exports: &[CacheExport],
        (graph, targets): (&BuildGraph, &[VertexId]),
        secrets: &Secrets,
    ) -> Arc<Self> {
        let way = |export: &CacheExport| {
            Some(Way {
                place: export.place.clone(),
                depot: Depot::new(engine, &export.place).ok()?,
                form: export.layers.clone(),
                wanted: wanted(graph, targets, export.mode),
            })
        };
        Arc::new(Self {
            ways: exports.iter().filter_map(way).collect(),
            secrets: secrets.clone(),
            slots: Semaphore::new(LAYERS_AT_ONCE_MAX),
            arrived: Mutex::default(),
            tasks: Mutex::default(),
        })
    }

    /// A step has made a layer, of which the digest is known.
    pub(crate) fn offer(self: &Arc<Self>, store: &Arc<Store>, vertex: VertexId, made: (Layer, Option<i64>)) {
        if !self.ways.iter().any(|way| way.wanted.contains(&vertex)) {
            return;
        }
        let (early, store) = (self.clone(), store.clone());
        self.lock_tasks().spawn(async move { early.send(&store, vertex, made).await });
    }

    async fn send(&self, store: &Arc<Store>, vertex: VertexId, made: (Layer, Option<i64>)) {
        let _slot = self.slots.acquire().await.expect("nobody closes the slots");
        for (at, way) in self.ways.iter().enumerate().filter(|(_, way)| way.wanted.contains(&vertex)) {
            match way.send(store, made.clone(), Search::new(&self.secrets)).await {
                Ok(diff_id) => drop(self.lock_arrived().insert((at, diff_id))),
                Err(error) => {
                    tracing::debug!(%error, place = %way.place, "cannot send a layer ahead of time");
                }
            }
        }
    }

    /// Waits for all layers, or lets go of those that have not arrived.
    pub(crate) async fn settle(&self, wait: CacheWait) {
        let mut tasks = std::mem::take(&mut *self.lock_tasks());
        if wait == CacheWait::All {
            while tasks.join_next().await.is_some() {}
        }
    }

    /// Whether a layer is in a cache by now.
    pub(super) fn has_arrived(&self, place: &CachePlace, diff_id: DiffId) -> bool {
        let at = self.ways.iter().position(|way| way.place == *place);
        at.is_some_and(|at| self.lock_arrived().contains(&(at, diff_id)))
    }

    fn lock_tasks(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.tasks.lock().expect("no holder of the lock panics")
    }

    fn lock_arrived(&self) -> MutexGuard<'_, BTreeSet<(usize, DiffId)>> {
        self.arrived.lock().expect("no holder of the lock panics")
    }
}

impl Way {
    async fn send(
        &self,
        store: &Arc<Store>,
        (layer, epoch): (Layer, Option<i64>),
        search: Option<Search>,
    ) -> Result<DiffId, RemoteCacheError> {
        let (of, form) = (store.clone(), self.form.clone());
        let compress = move || {
            let diff_id = layer.diff_id(epoch)?;
            // There is no image yet, and nobody is told which one it would be.
            let tar = LayerTar::new(ImageId(diff_id.0), diff_id, layer, epoch);
            Ok::<_, RemoteCacheError>((diff_id, searched(&of, &tar, &form, search)?))
        };
        let (diff_id, blob) = blocking(compress).await?;
        if !self.depot.has(&blob).await? {
            self.depot.send(store, &blob).await?;
        }
        Ok(diff_id)
    }
}
