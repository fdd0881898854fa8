//! Volumes: directories of users, which outlive the containers that mount them.
//!
//! ```text
//! ROOT/volumes/<name>/_data/    what containers see
//! ROOT/volumes/<name>/facts     what the engine knows of it, in a format of its own
//! ROOT/volumes/<name>/lock      locked by those who use it
//! ```
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

use crate::tree::{self, TreeError};
use crate::{CacheMountError, LayerId, Seed, Store, StoreError};

/// Largest facts that are read: labels and options as people write them.
const FACTS_BYTES_MAX: u64 = 1 << 20;
/// Mode of a volume that begins empty, as in Docker.
const MODE_DEFAULT: Mode = Mode::from_raw_mode(0o755);
/// Where volumes are.
const VOLUMES: &str = "volumes";
/// How often to look again when a volume is removed while it is about to be used.
const ATTEMPTS_MAX: usize = 100;

/// A volume in use: nobody removes it until this is dropped, or the process dies.
#[derive(Debug)]
pub struct VolumeUse {
    path: PathBuf,
    name: String,
    _lock: OwnedFd,
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

    /// The same under a random name of 64 hexadecimal digits, which is returned.
    pub fn create_anonymous_volume(&self, facts: &[u8]) -> Result<String, StoreError> {
        loop {
            let name = format!("{}{}", LayerId::random(), LayerId::random());
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
        names.sort();
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
                    let (path, name) = (self.volume_path(name), name.to_owned());
                    return Ok(Some(VolumeUse { path, name, _lock: lock }));
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
        let locked = self.lock_volume(name, FlockOperation::NonBlockingLockExclusive)?;
        Ok(matches!(locked, Some(Locked::Busy)))
    }

    fn lock_volume(&self, name: &str, operation: FlockOperation) -> Result<Option<Locked>, StoreError> {
        let path = format!("{}/lock", place(name));
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
    /// is, and so does one for which the layers have no directory. Whoever is killed meanwhile leaves an empty volume.
    pub fn seed_volume(&self, volume: &VolumeUse, seed: &Seed) -> Result<(), CacheMountError> {
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
                // Onto a directory that is empty; a process that writes there meanwhile has the last word.
                match renameat(self.disk().fd(), &staged, self.disk().fd(), &to) {
                    Ok(()) => return Ok(()),
                    Err(Errno::NOTEMPTY | Errno::EXIST) => session.discard(&staged),
                    Err(error) => {
                        session.discard(&staged);
                        return Err(self.disk().write_error(&to, error).into());
                    }
                }
            }
            Err(CacheMountError::Seed(TreeError::NotFound { .. } | TreeError::NoDirectory { .. })) => {
                session.discard(&staged);
            }
            Err(error) => {
                session.discard(&staged);
                return Err(error);
            }
        }
        Ok(())
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

fn data(name: &str) -> String {
    format!("{}/_data", place(name))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
    use std::sync::Arc;

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
            store.seed_volume(&volume, &seed(&store, absent)).unwrap();
            assert_eq!(fs::read_dir(volume.path()).unwrap().count(), 0);
        }
        store.seed_volume(&volume, &seed(&store, "/dir")).unwrap();
        let found = fs::metadata(volume.path()).unwrap();
        assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (3, 4, 0o1711));
        fs::write(volume.path().join("file"), "changed").unwrap();
        store.seed_volume(&volume, &seed(&store, "/dir")).unwrap();
        assert_eq!(fs::read(volume.path().join("file")).unwrap(), b"changed");
    }
}
