//! Layers as directories: written in the staging area, committed by one rename, never changed afterwards.

mod active;
mod committed;
mod fact;
mod packed;
mod squash;
mod tar;
mod unpack;

use std::collections::HashSet;
use std::sync::Mutex;

pub use active::ActiveLayer;
pub use committed::Layer;
pub(crate) use fact::{Fact, Facts};
pub use packed::PackError;
pub(crate) use packed::{OpenFiles, is_same, packed_name};

use crate::stamp::lock;
use crate::{LayerId, Store, StoreError};

/// Layers that this opening of the store has seen. A chain of records names the same layers again and
/// again; each is looked up on disk once.
#[derive(Default)]
pub(crate) struct SeenLayers(Mutex<HashSet<LayerId>>);

impl Store {
    /// The layer of this name; `None` when it is not in the store.
    pub fn layer(&self, id: &LayerId) -> Result<Option<Layer>, StoreError> {
        Ok(self.have_layers(&[*id])?.then(|| Layer::new(self.clone(), *id)))
    }

    pub(crate) fn have_layers(&self, ids: &[LayerId]) -> Result<bool, StoreError> {
        Ok(self.missing_layer(ids)?.is_none())
    }

    pub(crate) fn require_layers(&self, ids: &[LayerId]) -> Result<(), StoreError> {
        match self.missing_layer(ids)? {
            Some(id) => Err(StoreError::NoLayer { id }),
            None => Ok(()),
        }
    }

    fn missing_layer(&self, ids: &[LayerId]) -> Result<Option<LayerId>, StoreError> {
        let mut seen = lock(&self.inner.seen_layers.0);
        for id in ids {
            if !seen.contains(id) {
                self.lease_layer(id)?;
                if !self.is_layer_there(id)? {
                    return Ok(Some(*id));
                }
                seen.insert(*id);
            }
        }
        Ok(None)
    }

    pub(crate) fn saw_layer(&self, id: LayerId) {
        lock(&self.inner.seen_layers.0).insert(id);
    }
}

/// The directory of a layer.
pub(crate) fn layer_name(id: &LayerId) -> String {
    format!("layers/{id}")
}
