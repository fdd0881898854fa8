//! Files beneath the store's root, always reached through its descriptor.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, Mode, OFlags, mkdirat, openat, renameat, statat, unlinkat};
use rustix::io::Errno;

use crate::StoreError;
use crate::codec::Damage;

/// First read of a small file: nearly all records fit, so that one read is enough.
const FIRST_READ_BYTES: usize = 8 << 10;
/// Directories of the store belong to its owner alone: layers hold set-user-id programs.
pub(crate) const DIR_MODE: Mode = Mode::from_raw_mode(0o700);
/// Mode of the store's own files.
const FILE_MODE: Mode = Mode::from_raw_mode(0o600);

/// The root directory of a store.
pub(crate) struct Disk {
    root: OwnedFd,
    path: PathBuf,
}

impl Disk {
    /// Opens `path`, which must be a directory.
    pub(crate) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(rustix::fs::CWD, path, flags, Mode::empty())?;
        Ok(Self { root, path: path.to_owned() })
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    pub(crate) fn root(&self) -> &Path {
        &self.path
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn read_error(&self, name: &str, source: impl Into<io::Error>) -> StoreError {
        StoreError::Read { path: self.path(name), source: source.into() }
    }

    pub(crate) fn write_error(&self, name: &str, source: impl Into<io::Error>) -> StoreError {
        StoreError::Write { path: self.path(name), source: source.into() }
    }

    /// Opens a regular file for reading; `None` when there is none.
    pub(crate) fn open_file(&self, name: &str) -> Result<Option<File>, StoreError> {
        // Not blocking: whatever somebody put in the place of a file must not hang us.
        let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
        match openat(&self.root, name, flags, Mode::empty()) {
            Ok(file) => Ok(Some(file.into())),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
            Err(error) => Err(self.read_error(name, error)),
        }
    }

    /// Reads a whole file: `None` when there is none, at most `size_bytes_max + 1` bytes, so that the
    /// caller sees when it is longer than allowed.
    pub(crate) fn read(&self, name: &str, size_bytes_max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(mut file) = self.open_file(name)? else { return Ok(None) };
        let mut bytes = vec![0; FIRST_READ_BYTES];
        let count = file.read(&mut bytes).map_err(|source| self.read_error(name, source))?;
        bytes.truncate(count);
        // A regular file gives less than asked for only at its end.
        if count == FIRST_READ_BYTES {
            let rest = (size_bytes_max + 1).saturating_sub(count as u64);
            file.take(rest).read_to_end(&mut bytes).map_err(|source| self.read_error(name, source))?;
        }
        Ok(Some(bytes))
    }

    /// Creates a file that must not exist yet.
    pub(crate) fn create(&self, name: &str) -> Result<File, StoreError> {
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        match openat(&self.root, name, flags, FILE_MODE) {
            Ok(file) => Ok(file.into()),
            Err(error) => Err(self.write_error(name, error)),
        }
    }

    /// Opens a file for locking, created when missing.
    pub(crate) fn open_lock(&self, name: &str) -> Result<OwnedFd, Errno> {
        openat(&self.root, name, OFlags::RDWR | OFlags::CREATE | OFlags::CLOEXEC, FILE_MODE)
    }

    /// Opens a directory; `None` when there is none.
    pub(crate) fn open_dir(&self, name: &str) -> Result<Option<OwnedFd>, StoreError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match openat(&self.root, name, flags, Mode::empty()) {
            Ok(dir) => Ok(Some(dir)),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(self.read_error(name, error)),
        }
    }

    /// Whether there is anything of that name.
    pub(crate) fn exists(&self, name: &str) -> Result<bool, StoreError> {
        match statat(&self.root, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(_) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(self.read_error(name, error)),
        }
    }

    /// The names in a directory, in no order; none when it does not exist.
    pub(crate) fn names(&self, name: &str) -> Result<Vec<String>, StoreError> {
        let Some(dir) = self.open_dir(name)? else { return Ok(Vec::new()) };
        let entries = Dir::new(dir).map_err(|error| self.read_error(name, error))?;
        let mut names = Vec::new();
        for entry in entries {
            let entry = entry.map_err(|error| self.read_error(name, error))?;
            // Every name that we give is UTF-8; others are not ours.
            if let Ok(entry) = entry.file_name().to_str()
                && entry != "."
                && entry != ".."
            {
                names.push(entry.to_owned());
            }
        }
        Ok(names)
    }

    /// Creates a directory; one that is there already is fine.
    pub(crate) fn make_dir(&self, name: &str) -> Result<(), StoreError> {
        match mkdirat(&self.root, name, DIR_MODE) {
            Ok(()) | Err(Errno::EXIST) => Ok(()),
            Err(error) => Err(self.write_error(name, error)),
        }
    }

    /// Moves a file over `to`, creating the directory of `to` when it is missing.
    pub(crate) fn rename(&self, from: &str, to: &str) -> Result<(), StoreError> {
        let rename = || renameat(&self.root, from, &self.root, to);
        let mut result = rename();
        if let (Err(Errno::NOENT), Some((dir, _))) = (result, to.rsplit_once('/')) {
            self.make_dir(dir)?;
            result = rename();
        }
        result.map_err(|error| self.write_error(to, error))
    }

    /// Removes a file; whether it was there.
    pub(crate) fn remove(&self, name: &str) -> Result<bool, StoreError> {
        match unlinkat(&self.root, name, AtFlags::empty()) {
            Ok(()) => Ok(true),
            Err(Errno::NOENT | Errno::NOTDIR) => Ok(false),
            Err(error) => Err(self.write_error(name, error)),
        }
    }

    /// Writes a directory's names through to the disk.
    pub(crate) fn sync_dir(&self, name: &str) -> Result<(), StoreError> {
        let sync_error = |error: Errno| StoreError::Sync { path: self.path(name), source: error.into() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = openat(&self.root, name, flags, Mode::empty()).map_err(sync_error)?;
        rustix::fs::fsync(dir).map_err(sync_error)
    }
}

/// Loading of small checksummed files.
impl Disk {
    /// Reads and decodes a file. A missing file is `None`; so is a damaged one, after one line in the log.
    pub(crate) fn load<T>(
        &self,
        name: &str,
        size_bytes_max: u64,
        decode: impl FnOnce(&[u8]) -> Result<T, Damage>,
    ) -> Result<Option<T>, StoreError> {
        let bytes = match self.read(name, size_bytes_max) {
            Ok(Some(bytes)) => bytes,
            Ok(None) => return Ok(None),
            Err(error @ StoreError::Read { .. }) => {
                // The disk cannot give the bytes back; nothing is lost by making them again.
                tracing::warn!(path = %self.path(name).display(), error = source_text(&error), "unreadable file in the store is not used");
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        match decode(&bytes) {
            Ok(value) => Ok(Some(value)),
            Err(damage) => {
                tracing::warn!(path = %self.path(name).display(), %damage, "damaged file in the store is not used");
                Ok(None)
            }
        }
    }
}

fn source_text(error: &StoreError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}
