//! Directories that outlive the steps that mount them: `RUN --mount=type=cache`.
//!
//! ```text
//! ROOT/mounts/<hex>/<number>/data/       the directory, under the digest of its name
//! ROOT/mounts/<hex>/<number>/lock        locked by those who use it
//! ROOT/mounts/<hex>/<number>/used.<use>  a stamp for each use whose writes may not be durable yet
//! ```
//!
//! Steps write into it at any time, so after a power cut it may hold files without their bytes. It begins
//! anew when the machine went down before the writes of all its uses were durable.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::Digest;
use rustix::fs::{
    AtFlags, FlockOperation, Gid, Mode, OFlags, RenameFlags, Uid, chmodat, chownat, flock, open,
    renameat_with,
};
use rustix::io::{Errno, retry_on_intr};

use crate::codec::{Damage, Decoder, Encoder};
use crate::stamp::Stamp;
use crate::tree::{self, TreeError};
use crate::{LayerId, Store, StoreError};

/// Steps that may use the same private cache mount at once, each with a directory of its own. Whoever
/// comes later waits.
const PRIVATE_DIRECTORIES_MAX: usize = 64;
/// Mode of a cache mount that begins empty, as in BuildKit.
const MODE_DEFAULT: u32 = 0o755;
const KIND: [u8; 4] = *b"used";
const VERSION: u32 = 1;
/// Stamp files are 48 bytes long.
const STAMP_BYTES_MAX: u64 = 256;
/// Begins the names of stamp files.
const STAMP_PREFIX: &str = "used.";
/// The sequence number of a use that goes on: no marker ever covers it.
const IN_USE: u64 = u64::MAX;

/// Who may use a cache mount at the same time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sharing {
    /// Everybody, together.
    Shared,
    /// Everybody, each with an own directory.
    Private,
    /// One after another.
    Locked,
}

/// How a cache mount begins that does not exist yet.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Beginning {
    /// What is in it; empty without.
    pub seed: Option<Seed>,
    /// User id of its top directory; else the seed's, or root.
    pub uid: Option<u32>,
    /// Group id; else the seed's, or root's.
    pub gid: Option<u32>,
    /// Permission bits; else the seed's, or 0755.
    pub mode: Option<u32>,
}

/// A directory that a cache mount begins as a copy of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seed {
    /// The layers in which it is, lowest first.
    pub layers: Arc<[LayerId]>,
    /// Where. Links are followed inside the layers.
    pub path: PathBuf,
}

/// Why a cache mount cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CacheMountError {
    /// The store cannot do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What it begins with cannot be copied.
    #[error(transparent)]
    Seed(#[from] TreeError),
}

/// A cache mount in use. Others see that it is until this is dropped or the process dies.
#[derive(Debug)]
pub struct CacheMount {
    store: Store,
    path: PathBuf,
    /// The stamp of this use.
    stamp: String,
    /// What was free on the disk when the use began.
    free_bytes: u64,
    _lock: OwnedFd,
}

impl CacheMount {
    /// The directory to mount.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes sure that a part of the directory is there, with symlinks followed inside of it.
    ///
    /// # Errors
    ///
    /// [`TreeError::NotFound`] when it is not.
    pub fn need(&self, part: &Path) -> Result<(), CacheMountError> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(&self.path, flags, Mode::empty())
            .map_err(|error| self.store.disk().read_error(&self.path.to_string_lossy(), error))?;
        Ok(tree::need(directory.as_fd(), part)?)
    }
}

impl Drop for CacheMount {
    fn drop(&mut self) {
        // From now on the next `make_durable` covers what was written.
        if let Err(error) = self.store.publish_stamped(&self.stamp, encode) {
            tracing::warn!(%error, "a cache mount will begin anew after the next boot");
        }
        // What others have written meanwhile is among it: a guess that decides when to count.
        if let Ok(space) = self.store.space() {
            self.store.grew(self.free_bytes.saturating_sub(space.free_bytes));
        }
    }
}

impl Store {
    /// Takes the cache mount called `id`, making it where there is none; `None` while somebody else uses it
    /// in a way that `sharing` excludes.
    ///
    /// What a step writes into it survives a power cut once [`Store::make_durable`] was called after the
    /// end of the use.
    pub fn try_cache_mount(
        &self,
        id: &str,
        sharing: Sharing,
        beginning: &Beginning,
    ) -> Result<Option<CacheMount>, CacheMountError> {
        // Ids are anything that people write; a digest is a file name.
        let base = format!("mounts/{}", Digest::of(id.as_bytes()).hex());
        self.disk().make_dir("mounts").and_then(|()| self.disk().make_dir(&base))?;
        let (operation, directories) = match sharing {
            Sharing::Shared => (FlockOperation::NonBlockingLockShared, 1),
            Sharing::Locked => (FlockOperation::NonBlockingLockExclusive, 1),
            Sharing::Private => (FlockOperation::NonBlockingLockExclusive, PRIVATE_DIRECTORIES_MAX),
        };
        for number in 0..directories {
            let name = format!("{base}/{number}");
            self.disk().make_dir(&name)?;
            if let Some(lock) = self.lock_cache_mount(&name, operation)? {
                return self.use_cache_mount(&name, beginning, lock).map(Some);
            }
        }
        Ok(None)
    }

    /// Whether there is a cache mount called `id`, or its first directory: with another use it goes on, or begins.
    pub fn has_cache_mount(&self, id: &str) -> Result<bool, StoreError> {
        self.disk().exists(&format!("mounts/{}/0/data", Digest::of(id.as_bytes()).hex()))
    }

    fn lock_cache_mount(&self, name: &str, operation: FlockOperation) -> Result<Option<OwnedFd>, StoreError> {
        let name = format!("{name}/lock");
        let file = self.disk().open_lock(&name).map_err(|error| self.disk().write_error(&name, error))?;
        match retry_on_intr(|| flock(&file, operation)) {
            Ok(()) => Ok(Some(file)),
            Err(Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(StoreError::Lock { path: self.disk().path(&name), source: error.into() }),
        }
    }

    fn use_cache_mount(
        &self,
        name: &str,
        beginning: &Beginning,
        lock: OwnedFd,
    ) -> Result<CacheMount, CacheMountError> {
        // Those who share it look at the stamps one after the other.
        let _settling = self.lock_name(&name.replace('/', "-"))?;
        let data = format!("{name}/data");
        if !self.settle_uses(name)? {
            tracing::warn!(path = %self.disk().path(name).display(), "cache mount begins anew: it was in use when the machine went down");
            self.discard_tree(&data)?;
        }
        let stamp = format!("{name}/{STAMP_PREFIX}{}", LayerId::random());
        self.publish_stamped(&stamp, |stamp| encode(&Stamp { sequence: IN_USE, ..*stamp }))?;
        if !self.disk().exists(&data)? {
            self.make_cache_directory(&data, beginning)?;
        }
        let (path, free_bytes) = (self.disk().path(&data), self.space()?.free_bytes);
        Ok(CacheMount { store: self.clone(), path, stamp, free_bytes, _lock: lock })
    }

    /// Removes the stamps of uses that are durable by now. False, with all stamps removed, when one of them
    /// was not durable when the machine went down.
    fn settle_uses(&self, name: &str) -> Result<bool, StoreError> {
        let mut is_whole = true;
        for file in self.disk().names(name)?.iter().filter(|file| file.starts_with(STAMP_PREFIX)) {
            let file = format!("{name}/{file}");
            let is_needed = match self.disk().load(&file, STAMP_BYTES_MAX, decode)? {
                Some(stamp) if self.is_durable(&stamp)? => false,
                Some(stamp) => {
                    let holds = self.inner.durability.holds(self.disk(), &stamp)?;
                    is_whole &= holds;
                    holds
                }
                // A stamp without its bytes: what was written under it may be without its bytes as well.
                None => {
                    is_whole = false;
                    false
                }
            };
            if !is_needed {
                self.disk().remove(&file)?;
            }
        }
        Ok(is_whole)
    }

    /// Moves a tree out of the way in one step, then removes it.
    fn discard_tree(&self, name: &str) -> Result<(), StoreError> {
        let session = self.session()?;
        let staged = session.next_name();
        match renameat_with(self.disk().fd(), name, self.disk().fd(), &staged, RenameFlags::NOREPLACE) {
            Ok(()) => session.discard(&staged),
            Err(Errno::NOENT) => {}
            Err(error) => return Err(self.disk().write_error(name, error)),
        }
        Ok(())
    }

    /// Made in the staging area, so that nobody who shares it sees it with the wrong owner, or a part of the seed.
    fn make_cache_directory(&self, to: &str, beginning: &Beginning) -> Result<(), CacheMountError> {
        let session = self.session()?;
        let staged = session.next_name();
        self.disk().make_dir(&staged)?;
        match self.fill_cache_directory(&staged, to, beginning) {
            Ok(()) => Ok(()),
            Err(error) => {
                session.discard(&staged);
                Err(error)
            }
        }
    }

    fn fill_cache_directory(
        &self,
        staged: &str,
        to: &str,
        beginning: &Beginning,
    ) -> Result<(), CacheMountError> {
        let root = self.disk().fd();
        let (uid, gid, mode) = match &beginning.seed {
            None => (0, 0, MODE_DEFAULT),
            Some(Seed { layers, path }) => {
                let view = self.view(layers)?;
                let missing = || self.disk().read_error(staged, Errno::NOENT);
                let into = self.disk().open_dir(staged)?.ok_or_else(missing)?;
                let top = tree::copy_directory(view.root(), path, into.as_fd())?;
                (top.uid, top.gid, top.mode)
            }
        };
        let uid = Uid::from_raw(beginning.uid.unwrap_or(uid));
        let gid = Gid::from_raw(beginning.gid.unwrap_or(gid));
        let mode = Mode::from_raw_mode(beginning.mode.unwrap_or(mode));
        chownat(root, staged, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .and_then(|()| chmodat(root, staged, mode, AtFlags::empty()))
            .and_then(|()| renameat_with(root, staged, root, to, RenameFlags::NOREPLACE))
            .map_err(|error| self.disk().write_error(to, error).into())
    }
}

fn encode(stamp: &Stamp) -> Vec<u8> {
    let mut encoder = Encoder::new(KIND, VERSION);
    stamp.encode(&mut encoder);
    encoder.finish()
}

fn decode(bytes: &[u8]) -> Result<Stamp, Damage> {
    let mut decoder = Decoder::new(bytes, KIND, VERSION)?;
    let stamp = Stamp::decode(&mut decoder)?;
    decoder.finish()?;
    Ok(stamp)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::stamp::BootId;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, 1);
        (dir, store)
    }

    fn open(dir: &tempfile::TempDir, boot: u8) -> Store {
        Store::open_in_boot(&dir.path().join("store"), BootId([boot; 16])).unwrap()
    }

    fn take(store: &Store, id: &str) -> CacheMount {
        store.try_cache_mount(id, Sharing::Shared, &Beginning::default()).unwrap().unwrap()
    }

    #[test]
    fn shared_by_all_locked_by_one_private_to_each() {
        let (_dir, store) = store();
        let take = |sharing| store.try_cache_mount("id", sharing, &Beginning::default()).unwrap();
        let shared = take(Sharing::Shared).unwrap();
        assert_eq!(take(Sharing::Shared).unwrap().path(), shared.path());
        assert!(take(Sharing::Locked).is_none());
        drop(shared);
        let locked = take(Sharing::Locked).unwrap();
        assert!(take(Sharing::Locked).is_none());
        assert_ne!(take(Sharing::Private).unwrap().path(), locked.path());
        drop(locked);
        let first = take(Sharing::Private).unwrap();
        assert_ne!(take(Sharing::Private).unwrap().path(), first.path());
    }

    #[test]
    fn files_stay_and_ids_are_no_paths() {
        let (_dir, store) = store();
        fs::write(take(&store, "../../x").path().join("file"), "content").unwrap();
        assert!(take(&store, "../../x").path().starts_with(store.root()));
        assert!(take(&store, "../../x").path().join("file").exists());
        assert!(!take(&store, "other").path().join("file").exists());
    }

    #[test]
    fn a_new_directory_has_the_wanted_owner_and_mode() {
        let (_dir, store) = store();
        let beginning = Beginning { seed: None, uid: Some(1), gid: Some(2), mode: Some(0o1770) };
        let mount = store.try_cache_mount("id", Sharing::Shared, &beginning).unwrap().unwrap();
        let found = fs::metadata(mount.path()).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (1, 2, 0o1770));
    }

    /// A layer with `dir/file`, and a link to that directory.
    fn layer(store: &Store) -> Arc<[LayerId]> {
        let layer = store.begin_layer().unwrap();
        let root = layer.fs_path();
        fs::create_dir(root.join("dir")).unwrap();
        fs::write(root.join("dir/file"), "seed").unwrap();
        std::os::unix::fs::symlink("dir", root.join("link")).unwrap();
        std::os::unix::fs::chown(root.join("dir"), Some(3), Some(4)).unwrap();
        fs::set_permissions(root.join("dir"), std::os::unix::fs::PermissionsExt::from_mode(0o711)).unwrap();
        Arc::from([layer.commit().unwrap().id()])
    }

    #[test]
    fn a_seed_is_only_a_beginning() {
        let (_dir, store) = store();
        let layers = layer(&store);
        let seed = |path: &str| Some(Seed { layers: layers.clone(), path: path.into() });
        let take = |id: &str, seed, mode| {
            let beginning = Beginning { seed, mode, ..Beginning::default() };
            store.try_cache_mount(id, Sharing::Shared, &beginning).unwrap().unwrap()
        };
        let mount = take("id", seed("/link"), None);
        let found = fs::metadata(mount.path()).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (3, 4, 0o711));
        assert_eq!(fs::read(mount.path().join("file")).unwrap(), b"seed");
        fs::write(mount.path().join("file"), "changed").unwrap();
        drop(mount);
        assert_eq!(fs::read(take("id", seed("/dir"), None).path().join("file")).unwrap(), b"changed");
        let other = take("other", seed("/"), Some(0o700));
        assert_eq!(fs::metadata(other.path()).unwrap().mode() & 0o7777, 0o700);
        assert_eq!(fs::read(other.path().join("dir/file")).unwrap(), b"seed");
    }

    #[test]
    fn a_seed_that_is_not_there_leaves_nothing() {
        let (_dir, store) = store();
        let layers = layer(&store);
        for path in ["/absent", "/dir/file"] {
            let seed = Some(Seed { layers: layers.clone(), path: path.into() });
            let beginning = Beginning { seed, ..Beginning::default() };
            let error = store.try_cache_mount("id", Sharing::Shared, &beginning).unwrap_err();
            assert!(matches!(error, CacheMountError::Seed(_)), "{error}");
        }
        assert_eq!(fs::read_dir(take(&store, "id").path()).unwrap().count(), 0);
    }

    /// Whether a file is there after a reboot, when these uses came before it: durable or not.
    fn survives(uses: &[bool]) -> bool {
        let (dir, _) = store();
        for is_durable in uses {
            let store = open(&dir, 1);
            let mount = take(&store, "id");
            fs::write(mount.path().join("file"), "x").unwrap();
            drop(mount);
            if *is_durable {
                store.make_durable().unwrap();
            }
        }
        take(&open(&dir, 2), "id").path().join("file").exists()
    }

    #[test]
    fn a_power_cut_keeps_only_what_all_uses_made_durable() {
        assert!(survives(&[true, true]));
        assert!(!survives(&[false]));
        assert!(!survives(&[true, false]));
        assert!(!survives(&[false, true]));
    }

    #[test]
    fn a_use_that_goes_on_is_not_durable() {
        let (dir, store) = store();
        let mount = take(&store, "id");
        fs::write(mount.path().join("file"), "x").unwrap();
        store.make_durable().unwrap();
        let crashed = take(&open(&dir, 2), "id");
        assert!(!crashed.path().join("file").exists());
        drop(crashed);

        let (dir, store) = self::store();
        let mount = take(&store, "id");
        fs::write(mount.path().join("file"), "x").unwrap();
        drop(mount);
        store.make_durable().unwrap();
        assert!(take(&open(&dir, 2), "id").path().join("file").exists());
    }
}
