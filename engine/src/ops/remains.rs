//! What is left of the sandboxes of steps, for a moment.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use executor::Remains;

use crate::blocking::blocking;

/// Waits until they are gone, or only a process that another thread waits for.
fn reap(all: Vec<Remains>) {
    for remains in all {
        if remains.are_only_a_process(None) {
            tokio::task::spawn_blocking(move || drop(remains));
        }
    }
}

/// The remains of the steps of a build. The build goes on while the kernel takes them apart: only who mounts a layer has to
/// wait, since it may be the one that a sandbox changed.
#[derive(Clone, Default)]
pub(crate) struct RemainsOfSteps(Arc<Mutex<Vec<Remains>>>);

impl RemainsOfSteps {
    pub(super) fn add(&self, remains: Option<Remains>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(remains);
    }

    /// Waits until all that is here is gone, and others that wait for it as well.
    pub(super) fn settle(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// At the end of a build: waits until nothing of them is mounted and no control group is left. Processes that still tidy up end
    /// by themselves.
    pub(crate) async fn end(&self) {
        let all = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let (left, others): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|remains| remains.are_only_a_process(Some(Duration::ZERO)));
        if !others.is_empty() {
            blocking(move || reap(others)).await;
        }
        if !left.is_empty() {
            // Nobody waits for it. A process that ends leaves them to the system.
            tokio::task::spawn_blocking(move || drop(left));
        }
    }
}
