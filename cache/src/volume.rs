//! Volumes: directories of users, which outlive the containers that mount them.
//!
//! ```text
//! ROOT/volumes/<name>/_data/    what containers see
//! ROOT/volumes/<name>/facts     what the engine knows of it, in a format of its own
//! ROOT/volumes/<name>/lock      locked by those who use it
//! ```
//!
//! Who uses a volume has two locks on that file, which do not see one another. The one on the file as a whole (flock(2)) keeps
//! the volume from being removed. The one on its first byte tells others that it is in use without being in their way, and can
//! be made exclusive without being lost in between.
//!
//! Nothing of a volume is cache: it is removed when somebody asks for it, and never otherwise. Its facts are not needed for its
//! files: a volume whose facts were lost in a power cut is still there.

use std::io::Write as _;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FlockOperation, Gid, Mode, OFlags, RenameFlags, Uid, chmodat, chownat, fchmod, fchown,
    flock, fstat, renameat, renameat_with, statat,
};
use rustix::io::{Errno, retry_on_intr};

use crate::byte_lock::{ByteLocks, Lock, Place};
use crate::tree::{self, TreeError};
use crate::{CacheMountError, LayerId, Seed, Store, StoreError};

/// Largest facts that are read: labels and options as people write them.
const FACTS_BYTES_MAX: u64 = 1 << 20;
/// Mode of a volume that begins empty, as in Docker.
const MODE_DEFAULT: Mode = Mode::from_raw_mode(0o755);
/// Where volumes are.
const VOLUMES: &str = "volumes";
/// The byte of the lock that those who use a volume have.
const USERS: Place = Place::NOBODY;
/// How often to look again when a volume is removed while it is about to be used.
const ATTEMPTS_MAX: usize = 100;

/// A volume in use: nobody removes it until this is dropped, or the process dies.
#[derive(Debug)]
pub struct VolumeUse {
    path: PathBuf,
    name: String,
    lock: ByteLocks,
}

impl VolumeUse {
    /// The directory that containers see.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What became of the removal of a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum VolumeRemoval {
    /// It is gone.
    Removed,
    /// There is none of that name.
    NotThere,
    /// Somebody uses it.
    InUse,
}

impl Store {
    /// Makes an empty volume with these facts. False when there is one of that name, which stays as it is.
    ///
    /// The name is one of a file; what else it must be is the caller's matter.
    pub fn create_volume(&self, name: &str, facts: &[u8]) -> Result<bool, StoreError> {
        let to = place(name);
        if self.disk().exists(&to)? {
            return Ok(false);
        }
        let session = self.session()?;
        let staged = session.next_name();
        self.disk().make_dir(&staged)?;
        let made = self.fill_volume(&staged, facts).and_then(|()| self.publish_volume(&staged, &to));
        if !matches!(made, Ok(true)) {
            session.discard(&staged);
        }
        made
    }

    /// The same under a random name of 64 hexadecimal digits, which is returned, and told to `announce` before the volume is
    /// there.
    pub fn create_anonymous_volume(
        &self,
        facts: &[u8],
        announce: &dyn Fn(&str),
    ) -> Result<String, StoreError> {
        loop {
            let name = format!("{}{}", LayerId::random(), LayerId::random());
            announce(&name);
            // That a name is taken has not happened yet, with 256 bits.
            if self.create_volume(&name, facts)? {
                return Ok(name);
            }
        }
    }

    fn fill_volume(&self, staged: &str, facts: &[u8]) -> Result<(), StoreError> {
        let data = format!("{staged}/_data");
        self.disk().make_dir(&data)?;
        chmodat(self.disk().fd(), &data, MODE_DEFAULT, AtFlags::empty())
            .map_err(|error| self.disk().write_error(&data, error))?;
        let name = format!("{staged}/facts");
        let mut file = self.disk().create(&name)?;
        file.write_all(facts).map_err(|error| self.disk().write_error(&name, error))
    }

    fn publish_volume(&self, staged: &str, to: &str) -> Result<bool, StoreError> {
        self.disk().make_dir(VOLUMES)?;
        let root = self.disk().fd();
        match renameat_with(root, staged, root, to, RenameFlags::NOREPLACE) {
            Ok(()) => Ok(true),
            Err(Errno::EXIST) => Ok(false),
            Err(error) => Err(self.disk().write_error(to, error)),
        }
    }

    /// The names of all volumes, in order.
    pub fn volumes(&self) -> Result<Vec<String>, StoreError> {
        let mut names = self.disk().names(VOLUMES)?;
        names.sort_unstable();
        Ok(names)
    }

    /// The facts of a volume; none if there is no such volume. Empty if they were lost.
    pub fn volume_facts(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if !self.disk().exists(&place(name))? {
            return Ok(None);
        }
        Ok(Some(self.disk().read(&format!("{}/facts", place(name)), FACTS_BYTES_MAX)?.unwrap_or_default()))
    }

    /// The directory of a volume that containers see, whether there is such a volume or not.
    pub fn volume_path(&self, name: &str) -> PathBuf {
        self.disk().path(&data(name))
    }

    /// When the directory of a volume was made or last changed, in seconds since 1970.
    pub fn volume_changed_unix_s(&self, name: &str) -> Result<i64, StoreError> {
        let stat = statat(self.disk().fd(), place(name), AtFlags::empty())
            .map_err(|error| self.disk().read_error(&place(name), error))?;
        Ok(stat.st_mtime)
    }

    /// Keeps a volume from being removed. None if there is no such volume.
    pub fn use_volume(&self, name: &str) -> Result<Option<VolumeUse>, StoreError> {
        for _ in 0..ATTEMPTS_MAX {
            match self.lock_volume(name, FlockOperation::LockShared)? {
                None => return Ok(None),
                Some(Locked::Here(lock)) => {
                    let lock = ByteLocks::of(lock, self.disk().path(&lock_of(name)));
                    // Whoever replaces the directory has it for a moment.
                    lock.wait(Lock::Shared, USERS)?;
                    let (path, name) = (self.volume_path(name), name.to_owned());
                    return Ok(Some(VolumeUse { path, name, lock }));
                }
                Some(Locked::Moved | Locked::Busy) => {}
            }
        }
        Err(self.disk().write_error(&place(name), Errno::BUSY))
    }

    /// Removes a volume with all its files, unless somebody uses it, or `may_go` says no: it is asked while nobody else can
    /// begin to use it.
    pub fn remove_volume(
        &self,
        name: &str,
        may_go: impl FnOnce() -> bool,
    ) -> Result<VolumeRemoval, StoreError> {
        match self.lock_volume(name, FlockOperation::NonBlockingLockExclusive)? {
            None | Some(Locked::Moved) => return Ok(VolumeRemoval::NotThere),
            Some(Locked::Busy) => return Ok(VolumeRemoval::InUse),
            Some(Locked::Here(_)) if !may_go() => return Ok(VolumeRemoval::InUse),
            Some(Locked::Here(lock)) => {
                let session = self.session()?;
                let staged = session.next_name();
                // Out of the way in one step: whoever waits for the lock finds that it is gone.
                renameat(self.disk().fd(), place(name), self.disk().fd(), &staged)
                    .map_err(|error| self.disk().write_error(&place(name), error))?;
                drop(lock);
                session.discard(&staged);
            }
        }
        Ok(VolumeRemoval::Removed)
    }

    /// Whether somebody uses a volume at this moment.
    pub fn is_volume_in_use(&self, name: &str) -> Result<bool, StoreError> {
        let path = lock_of(name);
        match self.disk().open_lock(&path) {
            Ok(lock) => ByteLocks::of(lock, self.disk().path(&path)).is_locked(USERS),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(self.disk().write_error(&path, error)),
        }
    }

    fn lock_volume(&self, name: &str, operation: FlockOperation) -> Result<Option<Locked>, StoreError> {
        let path = lock_of(name);
        let lock = match self.disk().open_lock(&path) {
            Ok(lock) => lock,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
            Err(error) => return Err(self.disk().write_error(&path, error)),
        };
        match retry_on_intr(|| flock(&lock, operation)) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Ok(Some(Locked::Busy)),
            Err(error) => {
                return Err(StoreError::Lock { path: self.disk().path(&path), source: error.into() });
            }
        }
        let ours = fstat(&lock).map_err(|error| self.disk().read_error(&path, error))?;
        let is_here = statat(self.disk().fd(), &path, AtFlags::empty())
            .is_ok_and(|there| (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino));
        Ok(Some(if is_here { Locked::Here(lock) } else { Locked::Moved }))
    }

    /// Copies a directory of layers into a volume that is empty, with its owner and mode. One that is not empty stays as it
    /// is, and so does one for which the layers have no directory. Whoever is killed meanwhile leaves an empty volume, or a part
    /// of the copy in one that others use as well: `has_others` says whether there are any that have it mounted without using it
    /// here, and is asked while nobody else can begin to use it.
    pub fn seed_volume(
        &self,
        volume: &VolumeUse,
        seed: &Seed,
        has_others: impl FnOnce() -> bool,
    ) -> Result<(), CacheMountError> {
        let _one_at_a_time = self.lock_name(&place(&volume.name))?;
        let to = data(&volume.name);
        if !self.is_empty_directory(&to)? {
            return Ok(());
        }
        let session = self.session()?;
        let staged = session.next_name();
        self.disk().make_dir(&staged)?;
        match self.copy_seed(&seed.layers, &seed.path, &staged) {
            Ok(()) => {
                let placed = self.place_seed(volume, (&staged, &to), has_others);
                // What is left of it, if anything is.
                session.discard(&staged);
                Ok(placed?)
            }
            Err(CacheMountError::Seed(TreeError::NotFound { .. } | TreeError::NoDirectory { .. })) => {
                session.discard(&staged);
                Ok(())
            }
            Err(error) => {
                session.discard(&staged);
                Err(error)
            }
        }
    }

    /// Puts a copy in the place of an empty directory; or into it, when others have it: they would keep the old one. A
    /// process that writes there meanwhile has the last word.
    fn place_seed(
        &self,
        volume: &VolumeUse,
        (staged, to): (&str, &str),
        has_others: impl FnOnce() -> bool,
    ) -> Result<(), StoreError> {
        let (root, failed) = (self.disk().fd(), |error| self.disk().write_error(to, error));
        if volume.lock.try_set(Lock::Exclusive, USERS)? {
            let replaced = (!has_others()).then(|| renameat(root, staged, root, to));
            volume.lock.try_set(Lock::Shared, USERS)?;
            match replaced {
                None => {}
                Some(Ok(()) | Err(Errno::NOTEMPTY | Errno::EXIST)) => return Ok(()),
                Some(Err(error)) => return Err(failed(error)),
            }
        }
        let missing = |name| self.disk().read_error(name, Errno::NOENT);
        let from = self.disk().open_dir(staged)?.ok_or_else(|| missing(staged))?;
        let into = self.disk().open_dir(to)?.ok_or_else(|| missing(to))?;
        let top = fstat(&from).map_err(failed)?;
        for name in self.disk().names(staged)? {
            match renameat_with(&from, &name, &into, &name, RenameFlags::NOREPLACE) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(failed(error)),
            }
        }
        fchown(&into, Some(Uid::from_raw(top.st_uid)), Some(Gid::from_raw(top.st_gid)))
            .and_then(|()| fchmod(&into, Mode::from_raw_mode(top.st_mode)))
            .map_err(failed)
    }

    /// The same for a directory that is no volume of this store. Whoever is killed meanwhile leaves a part of the copy.
    pub fn seed_directory(&self, directory: &Path, seed: &Seed) -> Result<(), CacheMountError> {
        let _one_at_a_time = self.lock_name(&format!("seed {}", directory.display()))?;
        let failed = |error: Errno| StoreError::Write { path: directory.to_owned(), source: error.into() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let into = match rustix::fs::open(directory, flags, Mode::empty()) {
            Ok(into) => into,
            Err(Errno::NOTDIR) => return Ok(()),
            Err(error) => return Err(failed(error).into()),
        };
        if !is_empty(&into).map_err(failed)? {
            return Ok(());
        }
        let view = self.view(&seed.layers)?;
        let top = match tree::copy_directory(view.root(), &seed.path, into.as_fd()) {
            Ok(top) => top,
            Err(TreeError::NotFound { .. } | TreeError::NoDirectory { .. }) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        fchown(&into, Some(Uid::from_raw(top.uid)), Some(Gid::from_raw(top.gid)))
            .and_then(|()| fchmod(&into, Mode::from_raw_mode(top.mode)))
            .map_err(|error| failed(error).into())
    }

    fn copy_seed(&self, layers: &[LayerId], path: &Path, staged: &str) -> Result<(), CacheMountError> {
        let view = self.view(layers)?;
        let missing = || self.disk().read_error(staged, Errno::NOENT);
        let into = self.disk().open_dir(staged)?.ok_or_else(missing)?;
        let top = tree::copy_directory(view.root(), path, into.as_fd())?;
        let (uid, gid) = (Uid::from_raw(top.uid), Gid::from_raw(top.gid));
        chownat(self.disk().fd(), staged, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)
            .and_then(|()| chmodat(self.disk().fd(), staged, Mode::from_raw_mode(top.mode), AtFlags::empty()))
            .map_err(|error| self.disk().write_error(staged, error).into())
    }

    fn is_empty_directory(&self, name: &str) -> Result<bool, StoreError> {
        let missing = || self.disk().read_error(name, Errno::NOENT);
        let directory = self.disk().open_dir(name)?.ok_or_else(missing)?;
        is_empty(&directory).map_err(|error| self.disk().read_error(name, error))
    }
}

fn is_empty(directory: &OwnedFd) -> Result<bool, Errno> {
    for entry in Dir::read_from(directory)? {
        if ![c".", c".."].contains(&entry?.file_name()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// What an attempt to lock a volume came to.
enum Locked {
    Here(OwnedFd),
    /// It was removed in the meantime.
    Moved,
    Busy,
}

fn place(name: &str) -> String {
    format!("{VOLUMES}/{name}")
}

fn lock_of(name: &str) -> String {
    format!("{}/lock", place(name))
}

fn data(name: &str) -> String {
    format!("{}/_data", place(name))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store")).unwrap();
        (dir, store)
    }

    #[test]
    fn the_first_one_makes_it_and_all_see_it() {
        let (_dir, store) = store();
        assert!(store.create_volume("data", b"facts").unwrap());
        assert!(!store.create_volume("data", b"other").unwrap());
        assert_eq!(store.volume_facts("data").unwrap().unwrap(), b"facts");
        assert_eq!(store.volume_facts("nope").unwrap(), None);
        assert_eq!(store.volumes().unwrap(), ["data"]);
        assert_eq!(fs::metadata(store.volume_path("data")).unwrap().mode() & 0o7777, 0o755);
    }

    #[test]
    fn who_uses_it_keeps_it() {
        let (_dir, store) = store();
        store.create_volume("data", b"").unwrap();
        let (first, second) = (store.use_volume("data").unwrap(), store.use_volume("data").unwrap());
        drop(first);
        assert!(store.is_volume_in_use("data").unwrap());
        assert_eq!(store.remove_volume("data", || true).unwrap(), VolumeRemoval::InUse);
        drop(second);
        assert_eq!(store.remove_volume("data", || false).unwrap(), VolumeRemoval::InUse);
        assert_eq!(store.remove_volume("data", || true).unwrap(), VolumeRemoval::Removed);
        assert_eq!(store.remove_volume("data", || true).unwrap(), VolumeRemoval::NotThere);
        assert!(store.use_volume("data").unwrap().is_none());
    }

    /// A layer with `dir/file` that belongs to somebody.
    fn seed(store: &Store, path: &str) -> Seed {
        let layer = store.begin_layer().unwrap();
        let root = layer.fs_path();
        fs::create_dir(root.join("dir")).unwrap();
        fs::write(root.join("dir/file"), "seed").unwrap();
        chown(root.join("dir"), Some(3), Some(4)).unwrap();
        fs::set_permissions(root.join("dir"), fs::Permissions::from_mode(0o1711)).unwrap();
        Seed { layers: Arc::from([layer.commit().unwrap().id()]), path: path.into() }
    }

    #[test]
    fn an_empty_volume_begins_as_a_copy_and_no_other() {
        let (_dir, store) = store();
        store.create_volume("data", b"").unwrap();
        let volume = store.use_volume("data").unwrap().unwrap();
        for absent in ["/nope", "/dir/file"] {
            store.seed_volume(&volume, &seed(&store, absent), || false).unwrap();
            assert_eq!(fs::read_dir(volume.path()).unwrap().count(), 0);
        }
        store.seed_volume(&volume, &seed(&store, "/dir"), || false).unwrap();
        let found = fs::metadata(volume.path()).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (3, 4, 0o1711));
        fs::write(volume.path().join("file"), "changed").unwrap();
        store.seed_volume(&volume, &seed(&store, "/dir"), || false).unwrap();
        assert_eq!(fs::read(volume.path().join("file")).unwrap(), b"changed");
    }

    #[test]
    fn who_has_an_empty_volume_already_sees_what_comes_into_it() {
        for is_used_here in [true, false] {
            let (_dir, store) = store();
            store.create_volume("data", b"").unwrap();
            let first = is_used_here.then(|| store.use_volume("data").unwrap().unwrap());
            let mounted = fs::File::open(store.volume_path("data")).unwrap();
            let second = store.use_volume("data").unwrap().unwrap();
            store.seed_volume(&second, &seed(&store, "/dir"), || !is_used_here).unwrap();
            let found = fs::metadata(second.path()).unwrap();
            assert_eq!(mounted.metadata().unwrap().ino(), found.ino(), "it is the same directory");
            assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (3, 4, 0o1711));
            assert_eq!(fs::read(second.path().join("file")).unwrap(), b"seed");
            assert!(store.is_volume_in_use("data").unwrap());
            drop((first, second));
            assert!(!store.is_volume_in_use("data").unwrap());
        }
    }

    #[test]
    fn to_ask_whether_it_is_used_is_in_nobodys_way() {
        let (_dir, store) = store();
        let is_over = AtomicBool::new(false);
        let removals = std::thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    store.is_volume_in_use("data").unwrap();
                }
            });
            let mut removals = Vec::new();
            for _ in 0..200 {
                store.create_volume("data", b"").unwrap();
                removals.push(store.remove_volume("data", || true).unwrap());
            }
            is_over.store(true, Ordering::Relaxed);
            removals
        });
        assert_eq!(removals, [VolumeRemoval::Removed; 200]);
    }
}
