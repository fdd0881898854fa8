//! Starts the helper process and the network of the next step while there is something else to do.
//!
//! A sandbox needs a helper, our own binary executed anew. That takes a noticeable part of the time of a
//! short step, and does not have to wait until the step's turn.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use graph::{BuildGraph, Network, Op, VertexId};

/// The RUN vertices of a build: which may run, and which will by all that is known.
pub(crate) struct Ahead {
    runs: BTreeMap<VertexId, Network>,
    /// Not found in the cache, and not started yet.
    missed: Mutex<BTreeSet<VertexId>>,
    /// Of the store.
    root: PathBuf,
}

impl Ahead {
    pub(crate) fn new(root: &Path, graph: &BuildGraph) -> Self {
        let runs = graph.vertices().filter_map(|(id, vertex)| match &vertex.op {
            Op::Run(run) => Some((id, run.network)),
            _ => None,
        });
        Self { runs: runs.collect(), missed: Mutex::new(BTreeSet::new()), root: root.to_owned() }
    }

    /// A vertex was not found: if it is a RUN, a helper will be needed.
    pub(super) fn missed(&self, id: VertexId) {
        let Some(network) = self.runs.get(&id).copied() else { return };
        let is_first = {
            let mut missed = self.missed.lock().expect("no holder of the lock panics");
            missed.insert(id) && missed.len() == 1
        };
        if is_first && !crate::expect::is_expected(network) {
            let root = self.root.clone();
            // First, since it takes longer, and on its own.
            tokio::task::spawn_blocking(move || crate::network::prepare_for_step(&root, network));
            tokio::task::spawn_blocking(prepare_helper);
        }
    }

    /// A RUN has taken its helper. Whether more will need one.
    pub(super) fn started(&self, id: VertexId) -> bool {
        let mut missed = self.missed.lock().expect("no holder of the lock panics");
        missed.remove(&id);
        !missed.is_empty()
    }
}

/// Best effort: what keeps a helper from starting is told when it is needed.
pub(crate) fn prepare_helper() {
    if let Err(error) = executor::prepare() {
        tracing::debug!(%error, "cannot start a helper ahead of time");
    }
}
