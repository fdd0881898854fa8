//! Layers as directories of copies, for a kernel that does not stack them.
//!
//! Overlayfs is not everywhere: in user namespaces before Linux 5.11, in a container whose own files are an overlay, on
//! file systems without extended attributes. There a chain of layers is copied to one directory. A command works
//! on that directory, and what it left as it was is removed afterwards: the rest is the layer.

mod merge;
mod node;
mod prune;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustix::fs::{CWD, Mode, OFlags};

use crate::{ActiveLayer, LayerId, Store, StoreError};
use node::Known;

/// A chain of layers copied to the directory of a new one.
///
/// [`WorkingCopy::keep_changes`] comes before the commit: without, the layer has everything that is below it.
#[derive(Debug)]
pub struct WorkingCopy {
    root: PathBuf,
    known: Known,
}

/// A chain of layers as a directory to read, or to write to and throw away. Removed when dropped.
#[derive(Debug, Clone)]
pub struct LayerCopy(Arc<Scratch>);

impl LayerCopy {
    /// The directory.
    pub fn path(&self) -> &Path {
        &self.0.path
    }
}

#[derive(Debug)]
struct Scratch {
    store: Store,
    name: String,
    path: PathBuf,
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Ok(session) = self.store.session() {
            session.discard(&self.name);
        }
    }
}

impl Store {
    /// Whether layers are copied here, because the kernel has refused to stack them.
    pub fn copies_layers(&self) -> bool {
        self.inner.copies_layers.load(Ordering::Relaxed)
    }

    /// From now on layers are copied. Said once, with the reason.
    pub fn copy_layers_from_now_on(&self, reason: &str) {
        if !self.inner.copies_layers.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "layers are copied for each step, which is slow: {reason}; `slipway doctor` says more"
            );
        }
    }

    /// Copies directories in the form of overlay layers, topmost first, to the directory of `layer`, which is empty.
    pub fn working_copy(&self, lowers: &[PathBuf], layer: &ActiveLayer) -> Result<WorkingCopy, StoreError> {
        let root = layer.fs_path();
        let known = copy(lowers, &root)?;
        Ok(WorkingCopy { root, known })
    }

    /// Copies directories in the form of overlay layers, topmost first, to `root`, which is empty and is nobody's layer.
    pub fn copy_layers_to(&self, lowers: &[PathBuf], root: &Path) -> Result<(), StoreError> {
        copy(lowers, root).map(|_| ())
    }

    /// Copies directories in the form of overlay layers, topmost first, to one of its own.
    pub fn layer_copy(&self, lowers: &[PathBuf]) -> Result<LayerCopy, StoreError> {
        let name = format!("{}/{}.copy", self.session()?.dir(), LayerId::random());
        self.disk().make_dir(&name)?;
        let path = self.disk().path(&name);
        let copied = LayerCopy(Arc::new(Scratch { store: self.clone(), name, path }));
        copy(lowers, copied.path())?;
        Ok(copied)
    }
}

impl WorkingCopy {
    /// Leaves in the layer what differs from what was copied, in the form of an overlay's upper directory. No process may
    /// use the directory any more.
    pub fn keep_changes(self) -> Result<(), StoreError> {
        let root = open(&self.root)?;
        prune::prune(&root, &self.known).map_err(|error| error.into_store(&self.root))
    }
}

fn copy(lowers: &[PathBuf], into: &Path) -> Result<Known, StoreError> {
    let layers = lowers.iter().map(|lower| open(lower)).collect::<Result<Vec<_>, _>>()?;
    merge::merge(&layers, &open(into)?).map_err(|error| error.into_store(into))
}

fn open(path: &Path) -> Result<std::os::fd::OwnedFd, StoreError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::openat(CWD, path, flags, Mode::empty())
        .map_err(|error| StoreError::Read { path: path.to_owned(), source: error.into() })
}

#[cfg(test)]
mod tests;
