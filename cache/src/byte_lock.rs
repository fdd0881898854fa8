//! Kernel locks on single bytes of a file that stays empty (open file description locks, see fcntl(2)).
//!
//! A lock needs no file of its own, so taking and leaving it touches no directory; and the kernel lets go of the
//! locks of whoever dies. Locks of two openings of the file exclude each other, also in one process.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;

use crate::StoreError;
use crate::disk::Disk;

/// Who else may have a byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lock {
    Shared,
    Exclusive,
    None,
}

/// The byte of something with a name. Two may share a byte by chance, which costs nothing but a wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place(pub(crate) i64);

impl Place {
    /// A byte that belongs to nothing.
    pub(crate) const NOBODY: Self = Self(0);

    /// `name` is random or a digest, at least eight bytes long.
    pub(crate) fn of(name: &[u8]) -> Self {
        let number = u64::from_le_bytes(name[..8].try_into().expect("the slice has eight bytes"));
        // Byte numbers are signed; two bits less leave room for the byte 0.
        Self(1 + i64::try_from(number >> 2).expect("62 bits fit"))
    }
}

/// Bytes from the first on. A length of 0 is all that there ever may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bytes {
    pub(crate) start: i64,
    pub(crate) length: i64,
}

impl Bytes {
    pub(crate) const ALL: Self = Self { start: 0, length: 0 };
}

impl From<Place> for Bytes {
    fn from(place: Place) -> Self {
        Self { start: place.0, length: 1 }
    }
}

/// One opening of a file whose bytes are locked. Its locks end with it.
#[derive(Debug)]
pub(crate) struct ByteLocks {
    file: OwnedFd,
    path: PathBuf,
}

impl ByteLocks {
    /// Opens `name` in the directory `locks`, created when missing.
    pub(crate) fn open(disk: &Disk, name: &str) -> Result<Self, StoreError> {
        let opened = match disk.open_lock(name) {
            Err(rustix::io::Errno::NOENT) => {
                disk.make_dir("locks")?;
                disk.open_lock(name)
            }
            other => other,
        };
        let file = opened.map_err(|error| disk.write_error(name, error))?;
        Ok(Self { file, path: disk.path(name) })
    }

    /// The same for a file that is open already.
    pub(crate) fn of(file: OwnedFd, path: PathBuf) -> Self {
        Self { file, path }
    }

    /// Takes or leaves a lock, unless somebody else is in the way.
    pub(crate) fn try_set(&self, lock: Lock, bytes: impl Into<Bytes>) -> Result<bool, StoreError> {
        let range = range(lock, bytes.into());
        loop {
            match fcntl(&self.file, FcntlArg::F_OFD_SETLK(&range)) {
                Ok(_) => return Ok(true),
                Err(Errno::EAGAIN | Errno::EACCES) => return Ok(false),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(self.error(error)),
            }
        }
    }

    /// Takes a lock as soon as nobody is in the way.
    pub(crate) fn wait(&self, lock: Lock, bytes: impl Into<Bytes>) -> Result<(), StoreError> {
        let range = range(lock, bytes.into());
        loop {
            match fcntl(&self.file, FcntlArg::F_OFD_SETLKW(&range)) {
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(self.error(error)),
            }
        }
    }

    /// Whether another opening has a lock on this byte.
    pub(crate) fn is_locked(&self, place: Place) -> Result<bool, StoreError> {
        let mut asked = range(Lock::Exclusive, place.into());
        fcntl(&self.file, FcntlArg::F_OFD_GETLK(&mut asked)).map_err(|error| self.error(error))?;
        Ok(i32::from(asked.l_type) != libc::F_UNLCK)
    }

    fn error(&self, error: Errno) -> StoreError {
        StoreError::Lock { path: self.path.clone(), source: error.into() }
    }
}

fn range(lock: Lock, bytes: Bytes) -> libc::flock {
    let kind = match lock {
        Lock::Shared => libc::F_RDLCK,
        Lock::Exclusive => libc::F_WRLCK,
        Lock::None => libc::F_UNLCK,
    };
    libc::flock {
        l_type: libc::c_short::try_from(kind).expect("kinds of locks are 0, 1 and 2"),
        l_whence: libc::c_short::try_from(libc::SEEK_SET).expect("it is 0"),
        l_start: bytes.start,
        l_len: bytes.length,
        l_pid: 0,
    }
}
