//! Layers that are kept as one file, and become a directory when somebody needs one.
//!
//! The directory that is made of such a layer is an addition for this boot alone: after a power cut it may be there
//! without its files, which the packed file is not, once it was promised. So its name says in which boot it was made, and one
//! of another boot counts for nothing.

use std::fs::File;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{RenameFlags, renameat_with};
use rustix::io::Errno;

use super::{ActiveLayer, Layer, layer_name};
use crate::layer::{self, Files};
use crate::tree::{self, Packing, UnpackError};
use crate::{LayerId, Store, StoreError};

/// Digits of the boot id in the name of a directory.
const BOOT_DIGITS: usize = 16;
const UNPACKED_PREFIX: &str = "unpacked-";

/// The files of a layer, open.
pub(crate) enum OpenFiles {
    Directory(OwnedFd),
    Packed(File),
}

impl<'a> From<&'a OpenFiles> for Files<'a> {
    fn from(files: &'a OpenFiles) -> Self {
        match files {
            OpenFiles::Directory(directory) => Self::Directory(directory.as_fd()),
            OpenFiles::Packed(file) => Self::Packed(file),
        }
    }
}

impl ActiveLayer {
    /// Packs the layer instead of filling its directory, and makes it part of the store. Its digests are known
    /// afterwards, see [`Layer::is_summarized`]. Does not sync.
    pub fn commit_packed(self, packing: &Packing, clamp_mtime: Option<i64>) -> Result<Layer, PackError> {
        let summary = packing.write(&mut self.create_packed()?, clamp_mtime)?;
        self.remove_directory()?;
        Ok(self.commit_learned(clamp_mtime, &summary)?)
    }
}

/// Why a layer cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// What is to be packed.
    #[error(transparent)]
    Pack(#[from] UnpackError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Whether the layer is there, in whatever form. Takes no lease.
    pub(crate) fn is_layer_there(&self, id: &LayerId) -> Result<bool, StoreError> {
        let name = layer_name(id);
        Ok(self.disk().exists(&format!("{name}/fs"))? || self.disk().exists(&packed_name(id))?)
    }

    /// The directory with the layer's files, below the root of the store; one that was packed is unpacked for that.
    pub(crate) fn layer_directory(&self, id: &LayerId) -> Result<String, StoreError> {
        let directory = format!("{}/fs", layer_name(id));
        if self.disk().exists(&directory)? {
            return Ok(directory);
        }
        let unpacked = self.unpacked_name(id);
        if self.disk().exists(&unpacked)? {
            return Ok(unpacked);
        }
        let file = self.disk().open_file(&packed_name(id))?.ok_or(StoreError::NoLayer { id: *id })?;
        self.unpack_packed(id, &file)?;
        Ok(unpacked)
    }

    /// The layer's files as they are kept.
    pub(crate) fn layer_files(&self, id: &LayerId) -> Result<OpenFiles, StoreError> {
        if let Some(directory) = self.disk().open_dir(&format!("{}/fs", layer_name(id)))? {
            return Ok(OpenFiles::Directory(directory));
        }
        let file = self.disk().open_file(&packed_name(id))?;
        file.map(OpenFiles::Packed).ok_or(StoreError::NoLayer { id: *id })
    }

    /// The directory that a packed layer has in this boot, if somebody needed it.
    pub(crate) fn unpacked_directory(&self, id: &LayerId) -> Result<Option<OwnedFd>, StoreError> {
        self.disk().open_dir(&self.unpacked_name(id))
    }

    fn unpack_packed(&self, id: &LayerId, file: &File) -> Result<(), StoreError> {
        let active = self.begin_layer()?;
        let unpacked = self.unpacked_name(id);
        tree::unpack_packed(file, active.open()?.as_fd())
            .map_err(|source| StoreError::Unpack { id: *id, source: Box::new(source) })?;
        self.forget_unpacked(id)?;
        let (disk, from) = (self.disk(), active.fs_name());
        match renameat_with(disk.fd(), &from, disk.fd(), &unpacked, RenameFlags::NOREPLACE) {
            // Another process was quicker, and has made the same.
            Ok(()) | Err(Errno::EXIST | Errno::NOTEMPTY) => Ok(()),
            Err(error) => Err(disk.write_error(&unpacked, error)),
        }
    }

    /// Removes what other boots have unpacked.
    fn forget_unpacked(&self, id: &LayerId) -> Result<(), StoreError> {
        let ours = self.unpacked_name(id);
        for name in self.disk().names(&layer_name(id))? {
            let name = format!("{}/{name}", layer_name(id));
            if name.starts_with(&format!("{}/{UNPACKED_PREFIX}", layer_name(id))) && name != ours {
                self.discard_unpacked(&name)?;
            }
        }
        Ok(())
    }

    /// Moves a directory that was unpacked out of the way, and removes it.
    pub(crate) fn discard_unpacked(&self, name: &str) -> Result<(), StoreError> {
        let session = self.session()?;
        let staged = session.next_name();
        match rustix::fs::renameat(self.disk().fd(), name, self.disk().fd(), &staged) {
            Ok(()) => session.discard(&staged),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(self.disk().write_error(name, error)),
        }
        Ok(())
    }

    pub(crate) fn unpacked_name(&self, id: &LayerId) -> String {
        let boot = const_hex::encode(self.inner.durability.boot().0);
        format!("{}/{UNPACKED_PREFIX}{}", layer_name(id), &boot[..BOOT_DIGITS])
    }
}

/// The file of a packed layer.
pub(crate) fn packed_name(id: &LayerId) -> String {
    format!("{}/packed", layer_name(id))
}

/// Whether two forms of a layer hold the same.
pub(crate) fn is_same(files: &OpenFiles, directory: BorrowedFd<'_>) -> Result<bool, StoreError> {
    Ok(layer::content_digest(files)? == layer::content_digest(directory)?)
}
