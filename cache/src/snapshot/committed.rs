//! A layer that is complete.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use image::BlobDigest;

use super::fact::Fact;
use super::layer_name;
use super::packed::OpenFiles;
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
    ///
    /// A layer that is kept as one file becomes a directory now, see [`crate::ActiveLayer::commit_packed`].
    pub fn fs_path(&self) -> Result<PathBuf, StoreError> {
        Ok(self.store.disk().path(&self.store.layer_directory(&self.id)?))
    }

    /// A descriptor of [`Layer::fs_path`].
    pub fn open(&self) -> Result<OwnedFd, StoreError> {
        let name = self.store.layer_directory(&self.id)?;
        self.store.disk().open_dir(&name)?.ok_or(StoreError::NoLayer { id: self.id })
    }

    /// Its files in the form in which they are kept.
    pub(crate) fn files(&self) -> Result<OpenFiles, StoreError> {
        self.store.layer_files(&self.id)
    }

    /// The compressed blob that the layer was unpacked from, when it was kept: its bytes are the layer's.
    pub fn kept_blob(&self) -> Result<Option<BlobDigest>, StoreError> {
        Ok(self.store.facts(&self.id)?.get(Fact::ForeignBlob).map(BlobDigest))
    }

    /// Whether the layer changes nothing at all.
    pub fn is_empty(&self) -> Result<bool, StoreError> {
        // What is packed has many files.
        let OpenFiles::Directory(dir) = self.files()? else { return Ok(false) };
        let read_error = |error| self.store.disk().read_error(&layer_name(&self.id), error);
        for entry in rustix::fs::Dir::read_from(dir).map_err(read_error)? {
            let entry = entry.map_err(read_error)?;
            if entry.file_name() != c"." && entry.file_name() != c".." {
                return Ok(false);
            }
        }
        Ok(true)
    }
}
