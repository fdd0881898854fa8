//! A layer that is being written.

use std::os::fd::AsFd as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{AtFlags, Mode, chmodat};

use super::fact::Facts;
use super::tar::learned;
use super::{Layer, layer_name};
use crate::layer::{self, Summary};
use crate::{LayerId, Store, StoreError};

/// Mode of a layer's root directory, which is the root directory of a container with no other layer.
const ROOT_MODE: Mode = Mode::from_raw_mode(0o755);

/// A layer that is being written, in the staging area.
///
/// Dropping it throws away what was written; `commit` consumes it, so there is no way to write to a layer
/// that somebody already builds upon.
#[derive(Debug)]
pub struct ActiveLayer {
    store: Store,
    id: LayerId,
    /// `staging/<session>/<layer id>`, which holds `fs`; the work directory is next to it with `.work`
    /// behind the name, so that a commit is one rename.
    name: String,
    /// Whether there is a work directory.
    has_work: AtomicBool,
    /// Whether there is a scratch directory.
    has_scratch: AtomicBool,
    committed: bool,
}

impl Store {
    /// Begins a layer: an empty directory to be filled, or to be mounted as an upper directory.
    pub fn begin_layer(&self) -> Result<ActiveLayer, StoreError> {
        let id = LayerId::random();
        let name = format!("{}/{id}", self.session()?.dir());
        let layer = ActiveLayer {
            store: self.clone(),
            id,
            name,
            has_work: AtomicBool::new(false),
            has_scratch: AtomicBool::new(false),
            committed: false,
        };
        let fs = layer.fs_name();
        self.disk().make_dir(&layer.name)?;
        self.disk().make_dir(&fs)?;
        // Whatever the umask is.
        chmodat(self.disk().fd(), &fs, ROOT_MODE, AtFlags::empty())
            .map_err(|error| self.disk().write_error(&fs, error))?;
        Ok(layer)
    }
}

impl ActiveLayer {
    /// The name that the layer will have.
    pub fn id(&self) -> LayerId {
        self.id
    }

    /// The layer's files, in the form of an overlay's upper directory.
    pub fn fs_path(&self) -> PathBuf {
        self.store.disk().path(&self.fs_name())
    }

    /// Makes a directory on the same file system, for an overlay's work directory. Not part of the layer.
    pub fn work_path(&self) -> Result<PathBuf, StoreError> {
        let name = self.work_name();
        self.store.disk().make_dir(&name)?;
        self.has_work.store(true, Ordering::Relaxed);
        Ok(self.store.disk().path(&name))
    }

    /// Makes a directory on the same file system for whatever the layer is made from. Not part of the layer.
    pub fn scratch_path(&self) -> Result<PathBuf, StoreError> {
        let name = self.scratch_name();
        self.store.disk().make_dir(&name)?;
        self.has_scratch.store(true, Ordering::Relaxed);
        Ok(self.store.disk().path(&name))
    }

    /// A descriptor of the layer's files.
    pub fn open(&self) -> Result<std::os::fd::OwnedFd, StoreError> {
        let name = self.fs_name();
        let missing = || self.store.disk().read_error(&name, rustix::io::Errno::NOENT);
        self.store.disk().open_dir(&name)?.ok_or_else(missing)
    }

    /// Makes the layer part of the store. It must not be mounted for writing any more. Does not sync.
    pub fn commit(mut self) -> Result<Layer, StoreError> {
        {
            let _publishing = self.store.inner.durability.publish();
            // Nothing points at it yet.
            self.store.lease_layer(&self.id)?;
            self.store.disk().rename(&self.name, &layer_name(&self.id))?;
        }
        self.committed = true;
        self.store.saw_layer(self.id);
        Ok(Layer::new(self.store.clone(), self.id))
    }

    /// [`Self::commit`] for a layer whose digests will be asked for: of a layer of a few small files they are known
    /// afterwards, see [`Layer::is_summarized`]. To walk them here costs less than to hand them to another thread.
    pub fn commit_summarized(self, clamp_mtime: Option<i64>) -> Result<Layer, StoreError> {
        let summary = layer::summarize_small(self.open()?.as_fd(), clamp_mtime)?;
        match summary {
            Some(summary) => self.commit_learned(clamp_mtime, &summary),
            None => self.commit(),
        }
    }

    /// [`Self::commit`] with what is known of the layer.
    pub(super) fn commit_learned(
        self,
        clamp_mtime: Option<i64>,
        summary: &Summary,
    ) -> Result<Layer, StoreError> {
        let is_kept = self.learn(clamp_mtime, summary);
        let layer = self.commit()?;
        if is_kept && clamp_mtime.is_none() {
            layer.store.name_layer(&summary.diff_id, &layer.id)?;
        }
        Ok(layer)
    }

    /// Whether the facts could be kept. Without them, on a full disk for example, the layer is as good.
    fn learn(&self, clamp_mtime: Option<i64>, summary: &Summary) -> bool {
        let kept = self.put_facts(&learned(Facts::default(), clamp_mtime, summary));
        kept.inspect_err(|error| tracing::debug!(%error, "the digests of a layer will be computed again"))
            .is_ok()
    }

    /// Keeps facts, which become visible with the layer.
    pub(super) fn put_facts(&self, facts: &Facts) -> Result<(), StoreError> {
        self.store.put_facts_in(&self.name, &self.id, facts)
    }

    /// The file of a layer that is packed.
    pub(super) fn create_packed(&self) -> Result<std::fs::File, StoreError> {
        self.store.disk().create(&self.packed_name())
    }

    /// Removes the directory, which must be empty.
    pub(super) fn remove_directory(&self) -> Result<(), StoreError> {
        let name = self.fs_name();
        rustix::fs::unlinkat(self.store.disk().fd(), &name, AtFlags::REMOVEDIR)
            .map_err(|error| self.store.disk().write_error(&name, error))
    }

    fn packed_name(&self) -> String {
        format!("{}/packed", self.name)
    }

    pub(super) fn fs_name(&self) -> String {
        format!("{}/fs", self.name)
    }

    fn scratch_name(&self) -> String {
        format!("{}.scratch", self.name)
    }

    fn work_name(&self) -> String {
        format!("{}.work", self.name)
    }
}

impl Drop for ActiveLayer {
    fn drop(&mut self) {
        let Ok(session) = self.store.session() else { return };
        if *self.has_work.get_mut() {
            session.leave(&self.work_name());
        }
        if *self.has_scratch.get_mut() {
            session.discard(&self.scratch_name());
        }
        if !self.committed {
            session.discard(&self.name);
        }
    }
}
