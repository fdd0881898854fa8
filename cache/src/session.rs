//! The staging directory of one opening of the store, and the removal of those without an owner.
//!
//! `staging/<session>/` holds what is not published yet: small files under a number, and active layers. The
//! directory itself is locked (flock(2)) by the owner for as long as it lives; the kernel lets go of the lock
//! when the owner dies in whatever way. Whoever can take that lock may therefore remove the directory.
//!
//! A directory that ends empty is kept as `spare`, for the next session.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rustix::fs::{
    AtFlags, FlockOperation, IFlags, Mode, OFlags, flock, fstat, ioctl_getflags, ioctl_setflags, mkdirat,
    openat, renameat, statat,
};
use rustix::io::Errno;

use crate::disk::{DIR_MODE, Disk};
use crate::remove::{Budget, remove_tree};
use crate::{StoreError, id};

/// How often a session directory is created. Once is enough, unless a sweep takes it in the very moment
/// between its creation and its locking.
const ATTEMPTS_MAX: usize = 1_000;
/// A sweep needs two system calls to move away what it has locked.
const ATTEMPT_PAUSE: Duration = Duration::from_micros(100);
/// Entries that one sweep removes, so that a command which sweeps on its way stays fast.
const SWEEP_ENTRIES_MAX: u64 = 200_000;

/// Directories in the staging area from which on a sweep should not be put off.
const CROWD_MIN: u64 = 128;

/// The directory of a session that has ended, empty. A new one costs as much as all else that starts a session, and now
/// and then milliseconds, when the file system reads the map of a part of the disk that it has not used for long.
pub(crate) const SPARE: &str = "spare";
/// One in so many spare directories is removed all the same: what is created in a directory lies near it, and where a
/// lot was removed a file system without a journal takes longer to create something.
const SPARE_USES_MEAN: u8 = 32;

/// Small things that a session leaves to a later sweep. Removing a directory may cost a file system much more than
/// creating one (with the mount option `discard` it waits for the disk), and a command is not to wait for that.
const LEFT_OVER_MAX: u64 = 64;

/// A locked staging directory. Dropping it removes the directory and all in it, or leaves that to a sweep.
pub(crate) struct Session {
    disk: Arc<Disk>,
    /// `staging/<16 hex digits>`.
    dir: String,
    next: AtomicU64,
    /// Things that were left to a sweep.
    left_over: AtomicU64,
    /// Invariant: holds the lock on the directory.
    lock: OwnedFd,
}

impl Session {
    /// Creates the directory of the session `id`.
    pub(crate) fn start(disk: &Arc<Disk>, id: u64) -> Result<Self, StoreError> {
        let dir = dir_name(id);
        for _ in 0..ATTEMPTS_MAX {
            make_session_dir(disk, &dir)?;
            if let Some(lock) = lock_new(disk, &dir)? {
                return Ok(Self {
                    disk: disk.clone(),
                    dir,
                    next: AtomicU64::new(0),
                    left_over: AtomicU64::new(0),
                    lock,
                });
            }
            std::thread::sleep(ATTEMPT_PAUSE);
        }
        Err(disk.write_error(&dir, Errno::BUSY))
    }

    pub(crate) fn dir(&self) -> &str {
        &self.dir
    }

    /// A name for a new file in the staging directory.
    pub(crate) fn next_name(&self) -> String {
        format!("{}/{}", self.dir, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if is_empty(&self.lock) && is_worth_keeping() {
            // Onto the spare directory of another session, if there is one: it is empty as well.
            if renameat(self.disk.fd(), &self.dir, self.disk.fd(), SPARE).is_ok() {
                return;
            }
        }
        let removed = remove(&self.disk, &self.dir, &mut Budget::unlimited());
        // Best effort: what stays has no owner any more, and a sweep removes it.
        if let Err(error) = removed {
            tracing::warn!(path = %self.disk.path(&self.dir).display(), %error, "cannot remove a staging directory");
        }
    }
}

fn is_empty(directory: &OwnedFd) -> bool {
    let names = rustix::fs::Dir::read_from(directory).into_iter().flatten();
    let mut others = names.filter(|entry| match entry {
        Ok(entry) => ![c".", c".."].contains(&entry.file_name()),
        Err(_) => true,
    });
    others.next().is_none()
}

fn is_worth_keeping() -> bool {
    let mut number = [0];
    id::random(&mut number);
    number[0] % SPARE_USES_MEAN != 0
}

/// Whether the staging area has many directories, each of a living session or left to a sweep. Where they cannot be
/// counted it always is crowded.
pub(crate) fn is_crowded(disk: &Disk) -> bool {
    directories(disk).is_none_or(|directories| directories >= CROWD_MIN)
}

/// How many directories the staging area has, from the number of their links to it. Some file systems do not count them.
pub(crate) fn directories(disk: &Disk) -> Option<u64> {
    let links = statat(disk.fd(), "staging", AtFlags::SYMLINK_NOFOLLOW).map_or(2, |stat| stat.st_nlink);
    #[allow(clippy::useless_conversion, reason = "a u32 on other architectures")]
    u64::from(links).checked_sub(2)
}

/// The staging directory of a session.
pub(crate) fn dir_name(session: u64) -> String {
    format!("staging/{session:016x}")
}

fn make_session_dir(disk: &Disk, dir: &str) -> Result<(), StoreError> {
    // It may be locked for a moment, until its owner is gone.
    if renameat(disk.fd(), SPARE, disk.fd(), dir).is_ok() {
        return Ok(());
    }
    match mkdirat(disk.fd(), dir, DIR_MODE) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(Errno::NOENT) => {
            disk.make_dir("staging")?;
            spread(disk);
            disk.make_dir(dir)
        }
        Err(error) => Err(disk.write_error(dir, error)),
    }
}

/// Tells the file system that what is in the staging area is unrelated (chattr(1), attribute `T`): ext4 then begins each
/// session in another part of the disk. Without that every session begins where the one before was removed, and a
/// file system without a journal searches past all inodes that were freed in the last minutes for each new one.
fn spread(disk: &Disk) {
    let flags = open_session(disk, "staging").and_then(|staging| {
        let flags = ioctl_getflags(&staging)?;
        ioctl_setflags(&staging, flags | IFlags::TOPDIR)
    });
    if let Err(error) = flags {
        tracing::debug!(%error, "the file system does not know about unrelated directories");
    }
}

/// Locks a directory that was just created; `None` when a sweep was faster.
fn lock_new(disk: &Disk, dir: &str) -> Result<Option<OwnedFd>, StoreError> {
    let lock_error = |error: Errno| StoreError::Lock { path: disk.path(dir), source: error.into() };
    let lock = match open_session(disk, dir) {
        Ok(lock) => lock,
        Err(Errno::NOENT) => return Ok(None),
        Err(error) => return Err(disk.read_error(dir, error)),
    };
    match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(None),
        Err(error) => return Err(lock_error(error)),
    }
    // A sweep that had it locked before has moved it away.
    let ours = fstat(&lock).map_err(lock_error)?;
    match statat(disk.fd(), dir, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(named) => Ok(((named.st_dev, named.st_ino) == (ours.st_dev, ours.st_ino)).then_some(lock)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(lock_error(error)),
    }
}

fn open_session(disk: &Disk, dir: &str) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(disk.fd(), dir, flags, Mode::empty())
}

/// What a sweep did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Staging directories that are gone.
    pub removed: u64,
    /// Staging directories whose owner lives.
    pub in_use: u64,
    /// Staging directories that are left for the next sweep: this one had no more time, there was too much in
    /// them, or they cannot be removed.
    pub left: u64,
}

/// Removes staging directories whose owner is dead.
pub(crate) fn sweep(disk: &Disk, own: Option<&str>, stop: &AtomicBool) -> Result<Swept, StoreError> {
    let mut swept = Swept::default();
    let mut budget = Budget::until(stop, SWEEP_ENTRIES_MAX);
    for name in disk.names("staging")? {
        if budget.is_spent() {
            swept.left += 1;
            continue;
        }
        let dir = format!("staging/{name}");
        if own == Some(dir.as_str()) {
            swept.in_use += 1;
            continue;
        }
        let lock = match open_session(disk, &dir) {
            Ok(lock) => lock,
            // Its owner has just removed it, or another sweep has.
            Err(Errno::NOENT) => continue,
            // Not a directory: nothing of ours.
            Err(Errno::NOTDIR | Errno::LOOP) => {
                disk.remove(&dir)?;
                continue;
            }
            Err(error) => return Err(disk.read_error(&dir, error)),
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => {
                swept.in_use += 1;
                continue;
            }
            Err(error) => return Err(StoreError::Lock { path: disk.path(&dir), source: error.into() }),
        }
        let removed = move_aside(disk, &dir).and_then(|aside| match aside {
            Some(aside) => remove(disk, &aside, &mut budget),
            None => Ok(true),
        });
        match removed {
            Ok(true) => swept.removed += 1,
            Ok(false) => swept.left += 1,
            Err(error) => {
                tracing::warn!(path = %disk.path(&dir).display(), %error, "cannot remove a staging directory");
                swept.left += 1;
            }
        }
    }
    Ok(swept)
}

/// Gives a directory, whose lock the caller holds, or one within it, a name that no starting session opens: one that
/// was created this very moment sees that, and begins anew. `None` when it is gone.
fn move_aside(disk: &Disk, dir: &str) -> rustix::io::Result<Option<String>> {
    let mut suffix = [0; 8];
    id::random(&mut suffix);
    let aside = format!("staging/.dead-{}", const_hex::encode(suffix));
    match renameat(disk.fd(), dir, disk.fd(), &aside) {
        Ok(()) => Ok(Some(aside)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

fn remove(disk: &Disk, name: &str, budget: &mut Budget<'_>) -> rustix::io::Result<bool> {
    let name = CString::new(name).expect("our names hold no NUL");
    remove_tree(disk.fd(), &name, budget)
}

impl Session {
    /// Removes a directory that should be empty, or leaves a few directories in it to whoever sweeps next.
    pub(crate) fn leave(&self, name: &str) {
        if rustix::fs::unlinkat(self.disk.fd(), name, AtFlags::REMOVEDIR).is_ok() {
            return;
        }
        let is_one_of_few = self.left_over.fetch_add(1, Ordering::Relaxed) < LEFT_OVER_MAX;
        if !is_one_of_few || move_aside(&self.disk, name).is_err() {
            self.discard(name);
        }
    }

    /// Removes something in the staging directory, at once.
    pub(crate) fn discard(&self, name: &str) {
        if let Err(error) = remove(&self.disk, name, &mut Budget::unlimited()) {
            // Best effort: the end of the session tries again, and after that a sweep.
            tracing::warn!(path = %self.disk.path(name).display(), %error, "cannot remove staged files");
        }
    }
}
