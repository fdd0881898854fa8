//! A layer that is complete.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use image::BlobDigest;

use super::fact::Fact;
use super::layer_name;
use crate::{LayerId, Store, StoreError};

/// A layer in the store. It never changes.
#[derive(Debug, Clone)]
pub struct Layer {
    pub(super) store: Store,
    pub(super) id: LayerId,
}

impl Layer {
    pub(crate) fn new(store: Store, id: LayerId) -> Self {
        Self { store, id }
    }

    /// Its name in this store.
    pub fn id(&self) -> LayerId {
        self.id
    }

    /// Its files, as a lower directory of an overlay that is mounted with `userxattr`.
    pub fn fs_path(&self) -> PathBuf {
        self.store.disk().path(&self.fs_name())
    }

    /// A descriptor of its files.
    pub fn open(&self) -> Result<OwnedFd, StoreError> {
        self.store.disk().open_dir(&self.fs_name())?.ok_or(StoreError::NoLayer { id: self.id })
    }

    /// The compressed blob that the layer was unpacked from, when it was kept: its bytes are the layer's.
    pub fn kept_blob(&self) -> Result<Option<BlobDigest>, StoreError> {
        Ok(self.store.facts(&self.id)?.get(Fact::ForeignBlob).map(BlobDigest))
    }

    /// Whether the layer changes nothing at all.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        let dir = self.open()?;
        let read_error = |error| self.store.disk().read_error(&self.fs_name(), error);
        for entry in rustix::fs::Dir::read_from(dir).map_err(read_error)? {
            let entry = entry.map_err(read_error)?;
            if entry.file_name() != c"." && entry.file_name() != c".." {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn fs_name(&self) -> String {
        format!("{}/fs", layer_name(&self.id))
    }
}
