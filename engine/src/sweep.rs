//! Tidies up behind earlier commands while something else takes its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cache::Store;

/// A command that takes less time than this is not slowed down by a sweep beside it.
const GRACE: Duration = Duration::from_millis(20);

/// A sweep of the store's staging area, at most one. It stops when this is dropped: what it did not get to is left
/// for the next.
#[derive(Default)]
pub(crate) struct Sweep {
    begun: AtomicBool,
    stop: Arc<AtomicBool>,
}

impl Sweep {
    /// Starts sweeping on another thread, at the first call: soon, or at once when a lot lies about.
    pub(crate) fn begin(&self, store: &Store) {
        if self.begun.swap(true, Ordering::Relaxed) || !store.may_need_sweep() {
            return;
        }
        let (root, stop) = (store.root().to_owned(), self.stop.clone());
        let grace = if store.is_sweep_due() { Duration::ZERO } else { GRACE };
        // Nobody waits for it, a process may end in the middle of a sweep like in the middle of anything; so it has an
        // opening of its own, and the end of this one is not put off.
        let spawned = std::thread::Builder::new().name("sweep".to_owned()).spawn(move || {
            std::thread::sleep(grace);
            if stop.load(Ordering::Relaxed) {
                return;
            }
            if let Err(error) = Store::open(&root).and_then(|store| store.sweep_staging(&stop)) {
                tracing::warn!(%error, "cannot sweep the staging area");
            }
        });
        if let Err(error) = spawned {
            tracing::debug!(%error, "cannot start a thread to sweep the staging area");
        }
    }
}

impl Drop for Sweep {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}
