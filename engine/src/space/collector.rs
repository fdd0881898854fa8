//! Starts collections by itself, in the background.
//!
//! A process does not collect while it builds: it only says that it is time to. The collection is a process of its own,
//! so nobody waits for it, also not at the end of a command.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

use cache::{PruneOptions, Store, StoreError};

use super::Ceiling;

/// Bytes after which the ceiling is looked at in the middle of a build.
const STEP_BYTES: u64 = 64 << 20;

/// Starts a process that calls [`Engine::collect`](crate::Engine::collect) and does not wait for it.
pub type StartCollection = Box<dyn Fn() -> io::Result<()> + Send + Sync>;

/// Watches the ceiling of a store while something is added to it.
pub(crate) struct Collector {
    ceiling: Ceiling,
    start: StartCollection,
    /// One is enough for a command: the next one looks again.
    is_started: AtomicBool,
}

impl Collector {
    pub(crate) fn new(ceiling: Ceiling, start: StartCollection) -> Self {
        Self { ceiling, start, is_started: AtomicBool::new(false) }
    }

    /// What a collection removes, in this order.
    pub(crate) fn rules(&self, store: &Store) -> Result<Vec<PruneOptions>, StoreError> {
        Ok(self.ceiling.rules(store.space()?))
    }

    /// Something was added, and more will follow.
    pub(crate) fn step_ended(&self, store: &Store) {
        if store.unnoted_growth_bytes() >= STEP_BYTES {
            self.settle(store);
        }
    }

    /// Notes what was added, and starts a collection when it is time to. Nothing that goes wrong here is a reason
    /// to fail.
    pub(crate) fn settle(&self, store: &Store) {
        if store.unnoted_growth_bytes() == 0 {
            return;
        }
        let is_passed = store
            .note_growth()
            .and_then(|filling| Ok(self.ceiling.is_passed(filling, store.space()?)))
            .inspect_err(|error| tracing::warn!(%error, "cannot tell how full the store is"));
        if is_passed.unwrap_or(false)
            && !self.is_started.swap(true, Ordering::Relaxed)
            && let Err(error) = (self.start)()
        {
            tracing::warn!(%error, "cannot start a collection of the build cache");
        }
    }
}
