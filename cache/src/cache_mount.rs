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

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use image::Digest;
use rustix::fs::{
    AtFlags, FlockOperation, Gid, Mode, RenameFlags, Uid, chmodat, chownat, flock, renameat_with,
};
use rustix::io::{Errno, retry_on_intr};

use crate::codec::{Damage, Decoder, Encoder};
use crate::stamp::Stamp;
use crate::{LayerId, Store, StoreError};

/// Steps that may use the same private cache mount at once, each with a directory of its own. Whoever
/// comes later waits.
const PRIVATE_DIRECTORIES_MAX: usize = 64;
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

/// Owner and mode of a cache mount that does not exist yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ownership {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Permission bits.
    pub mode: u32,
}

/// A cache mount in use. Others see that it is until this is dropped or the process dies.
#[derive(Debug)]
pub struct CacheMount {
    store: Store,
    path: PathBuf,
    /// The stamp of this use.
    stamp: String,
    _lock: OwnedFd,
}

impl CacheMount {
    /// The directory to mount.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for CacheMount {
    fn drop(&mut self) {
        // From now on the next `make_durable` covers what was written.
        if let Err(error) = self.store.publish_stamped(&self.stamp, encode) {
            tracing::warn!(%error, "a cache mount will begin anew after the next boot");
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
        ownership: Ownership,
    ) -> Result<Option<CacheMount>, StoreError> {
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
                return self.use_cache_mount(&name, ownership, lock).map(Some);
            }
        }
        Ok(None)
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
        ownership: Ownership,
        lock: OwnedFd,
    ) -> Result<CacheMount, StoreError> {
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
            self.make_cache_directory(&data, ownership)?;
        }
        Ok(CacheMount { store: self.clone(), path: self.disk().path(&data), stamp, _lock: lock })
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

    /// Made in the staging area, so that nobody who shares it sees it with the wrong owner.
    fn make_cache_directory(&self, to: &str, ownership: Ownership) -> Result<(), StoreError> {
        let staged = self.session()?.next_name();
        self.disk().make_dir(&staged)?;
        let root = self.disk().fd();
        let (uid, gid) = (Uid::from_raw(ownership.uid), Gid::from_raw(ownership.gid));
        let mode = Mode::from_raw_mode(ownership.mode);
        chownat(root, &staged, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .and_then(|()| chmodat(root, &staged, mode, AtFlags::empty()))
            .and_then(|()| renameat_with(root, &staged, root, to, RenameFlags::NOREPLACE))
            .map_err(|error| self.disk().write_error(to, error))
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

    const ROOT: Ownership = Ownership { uid: 0, gid: 0, mode: 0o755 };

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = open(&dir, 1);
        (dir, store)
    }

    fn open(dir: &tempfile::TempDir, boot: u8) -> Store {
        Store::open_in_boot(&dir.path().join("store"), BootId([boot; 16])).unwrap()
    }

    fn take(store: &Store, id: &str) -> CacheMount {
        store.try_cache_mount(id, Sharing::Shared, ROOT).unwrap().unwrap()
    }

    #[test]
    fn shared_by_all_locked_by_one_private_to_each() {
        let (_dir, store) = store();
        let take = |sharing| store.try_cache_mount("id", sharing, ROOT).unwrap();
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
        let ownership = Ownership { uid: 1, gid: 2, mode: 0o1770 };
        let mount = store.try_cache_mount("id", Sharing::Shared, ownership).unwrap().unwrap();
        let found = fs::metadata(mount.path()).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (1, 2, 0o1770));
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
