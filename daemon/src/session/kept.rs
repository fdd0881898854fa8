//! Directories for the files of clients, kept from one build to the next.
//!
//! They are in the store, whose collector counts them and takes away what nobody has the lock of.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use image::Hasher;
use nix::fcntl::{Flock, FlockArg};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// Builds of the same client's directory at the same time; each has a directory of its own.
const DIRECTORIES_MAX: usize = 1024;
/// Of those of one client's directory, what stays when nobody uses it.
const IDLE_MAX: usize = 4;
/// What nobody has asked for in this time is removed.
const UNUSED_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
const FILES: &str = "files";
const LOCK: &str = "lock";

/// How often somebody looks for them.
const SWEEP_INTERVAL: Duration = Duration::from_secs(60 * 60);

/// The directories of a store; any number of processes may use them.
#[derive(Debug)]
pub(crate) struct KeptDirectories {
    root: PathBuf,
    swept: Mutex<SystemTime>,
}

/// A directory that nobody else uses until it is dropped.
#[derive(Debug)]
pub(crate) struct KeptDirectory {
    files: PathBuf,
    /// One of more than are kept.
    is_spare: bool,
    /// The kernel ends it with the process.
    lock: Option<Flock<File>>,
}

impl KeptDirectories {
    /// Those beneath `root`. What nobody has used for long is removed.
    pub(crate) fn open(root: PathBuf) -> io::Result<Self> {
        fs::create_dir_all(&root)?;
        let now = SystemTime::now();
        let kept = Self { root, swept: Mutex::new(now) };
        kept.remove_unused(now);
        Ok(kept)
    }

    /// A directory for what has this name: one that was used for it before, if there is one that is free.
    pub(crate) fn take(&self, name: &str) -> io::Result<KeptDirectory> {
        self.sweep();
        let digest = Hasher::new("client-directory/v1").field("name", name).finish();
        let directory = self.root.join(digest.hex());
        for number in 0..DIRECTORIES_MAX {
            let place = directory.join(number.to_string());
            fs::create_dir_all(&place)?;
            if let Some(lock) = try_lock(&place)? {
                // Only who has the lock makes it, since only who has the lock takes it away.
                fs::create_dir_all(place.join(FILES))?;
                // The time of the lock tells when the directory was last used.
                lock.set_modified(SystemTime::now())?;
                let is_spare = number >= IDLE_MAX;
                return Ok(KeptDirectory { files: place.join(FILES), is_spare, lock: Some(lock) });
            }
        }
        Err(io::Error::other(format!("{DIRECTORIES_MAX} builds use this directory of the client already")))
    }

    /// The same from time to time: a daemon may live long.
    fn sweep(&self) {
        let now = SystemTime::now();
        {
            let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
            if now.duration_since(*swept).is_ok_and(|age| age < SWEEP_INTERVAL) {
                return;
            }
            *swept = now;
        }
        self.remove_unused(now);
    }

    /// Best effort: what cannot be removed now is removed later.
    fn remove_unused(&self, now: SystemTime) {
        for name in fs::read_dir(&self.root).into_iter().flatten().flatten() {
            for place in fs::read_dir(name.path()).into_iter().flatten().flatten() {
                let used = fs::metadata(place.path().join(LOCK)).and_then(|lock| lock.modified());
                let age = used.ok().and_then(|used| now.duration_since(used).ok());
                if age.is_some_and(|age| age > UNUSED_MAX)
                    && let Ok(Some(_lock)) = try_lock(&place.path())
                {
                    // The lock itself stays: somebody may be waiting to open it.
                    let _ = fs::remove_dir_all(place.path().join(FILES));
                }
            }
        }
    }
}

fn try_lock(place: &Path) -> io::Result<Option<Flock<File>>> {
    let file = File::options().create(true).truncate(false).write(true).open(place.join(LOCK))?;
    match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
        Ok(lock) => Ok(Some(lock)),
        Err((_, nix::errno::Errno::EWOULDBLOCK)) => Ok(None),
        Err((_, error)) => Err(error.into()),
    }
}

impl KeptDirectory {
    pub(crate) fn path(&self) -> &Path {
        &self.files
    }
}

impl Drop for KeptDirectory {
    fn drop(&mut self) {
        if self.is_spare {
            // Best effort; the next user makes it what it needs.
            let _ = fs::remove_dir_all(&self.files);
        }
        drop(self.lock.take());
    }
}

/// The directory at `root`, to open things beneath it.
pub(crate) fn open_root(root: &Path) -> io::Result<OwnedFd> {
    Ok(openat(CWD, root, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?)
}

/// The text of a file that a client has sent; links in it lead nowhere outside.
pub(super) fn read_text(root: &Path, name: &str, bytes_max: u64) -> io::Result<Option<String>> {
    // A pipe would never open.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let wrong = |what: &str| io::Error::new(io::ErrorKind::InvalidData, format!("`{name}` {what}"));
    let file = match openat2(&open_root(root)?, name, flags, Mode::empty(), ResolveFlags::IN_ROOT) {
        Ok(file) => File::from(file),
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if !file.metadata()?.is_file() {
        return Err(wrong("is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(wrong(&format!("is larger than {bytes_max} bytes")));
    }
    engine::decode_dockerfile(bytes).map(Some).ok_or_else(|| wrong("is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_has_one_user_and_is_used_again() {
        let root = tempfile::tempdir().unwrap();
        let kept = KeptDirectories::open(root.path().join("kept")).unwrap();
        let first = kept.take("a").unwrap();
        fs::write(first.path().join("file"), "text").unwrap();
        let second = kept.take("a").unwrap();
        assert_ne!(first.path(), second.path());
        assert_ne!(kept.take("b").unwrap().path(), first.path());
        let path = first.path().to_owned();
        drop(first);
        let again = kept.take("a").unwrap();
        assert_eq!(again.path(), path);
        assert_eq!(read_text(&path, "file", 10).unwrap().as_deref(), Some("text"));
        assert_eq!(read_text(&path, "other", 10).unwrap(), None);
        assert!(read_text(&path, "file", 3).is_err());
    }

    #[test]
    fn spare_directories_are_emptied() {
        let root = tempfile::tempdir().unwrap();
        let kept = KeptDirectories::open(root.path().join("kept")).unwrap();
        let all: Vec<_> = (0..=IDLE_MAX).map(|_| kept.take("a").unwrap()).collect();
        let spare = all.last().unwrap().path().to_owned();
        assert!(spare.exists());
        drop(all);
        assert!(!spare.exists());
    }

    #[test]
    fn a_link_that_leads_out_leads_nowhere() {
        let root = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("Dockerfile")).unwrap();
        assert_eq!(read_text(root.path(), "Dockerfile", 1 << 20).unwrap(), None);
    }

    #[test]
    fn what_nobody_used_for_long_goes() {
        let root = tempfile::tempdir().unwrap();
        let kept = KeptDirectories::open(root.path().join("kept")).unwrap();
        let path = kept.take("a").unwrap().path().to_owned();
        kept.remove_unused(SystemTime::now());
        assert!(path.exists());
        kept.remove_unused(SystemTime::now() + UNUSED_MAX + Duration::from_secs(60));
        assert!(!path.exists());
    }
}
