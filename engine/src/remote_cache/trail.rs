//! Under which keys the results of a build are known.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use graph::VertexId;
use image::Digest;

/// The keys of a build, as far as they came up.
#[derive(Default)]
pub(crate) struct Trail(Mutex<BTreeMap<Digest, Trod>>);

/// What belongs to a key.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Trod {
    pub(crate) vertex: VertexId,
    /// The key that dependents see.
    pub(crate) offered: Digest,
    pub(crate) created_unix_ns: i64,
    /// Whether the step ran in this build.
    pub(crate) ran: bool,
}

impl Trail {
    pub(crate) fn note(&self, key: Digest, trod: Trod) {
        self.lock().insert(key, trod);
    }

    pub(super) fn keys(&self) -> Vec<(Digest, Trod)> {
        self.lock().iter().map(|(key, trod)| (*key, *trod)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Digest, Trod>> {
        self.0.lock().expect("no holder of the lock panics")
    }
}
