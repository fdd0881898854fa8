//! What is left of the sandboxes of steps, for a moment.

use std::sync::{Arc, Mutex, PoisonError};

use executor::Remains;

use crate::blocking::blocking;

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

    /// The same at the end of a build.
    pub(crate) async fn end(&self) {
        let is_empty = self.0.lock().unwrap_or_else(PoisonError::into_inner).is_empty();
        if !is_empty {
            let all = self.clone();
            blocking(move || all.settle()).await;
        }
    }
}
