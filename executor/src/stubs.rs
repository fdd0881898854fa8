//! Mount points that the image lacks: created for the run, and taken away again without a trace.
//!
//! A stub in a directory of a lower layer makes the overlay copy that directory up. After the run the stub goes,
//! a directory that was only copied up for it goes too, and the others get their modification time back: the
//! layer is the same as if no mount point had been missing. Everything is compared with what was recorded when
//! it was created, so that nothing is touched that the command put in its place.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, Mode, OFlags, Stat, Timespec, Timestamps};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::error::{OrKernel, SandboxError};
use crate::tree::{Kind, join, open_plain};

/// Most stubs of one run: mounts have a few components each, and the record must fit a message.
const STUBS_MAX: usize = 512;

/// What was created, as the engine needs it to clean up.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Stubs {
    created: Vec<Stub>,
    directories: Vec<Directory>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Stub {
    directory: String,
    name: String,
    is_directory: bool,
    /// Inode number in the upper directory.
    inode: u64,
}

/// A directory in which a stub was created, or that was copied up on the way there.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Directory {
    path: String,
    /// Whether the upper directory did not contain it before.
    copied_up: bool,
    modified_before: Time,
    after: Stamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Time(i64, i64);

/// What changes whenever somebody touches a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
struct Stamp {
    inode: u64,
    mode: u32,
    uid: u32,
    gid: u32,
    modified: Time,
    changed: Time,
}

impl Stamp {
    fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino,
            mode: stat.st_mode,
            uid: stat.st_uid,
            gid: stat.st_gid,
            modified: modified(stat),
            changed: Time(stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }
}

fn modified(stat: &Stat) -> Time {
    Time(stat.st_mtime, stat.st_mtime_nsec as i64)
}

/// Records what is created while a container is set up.
pub(crate) struct StubLog {
    /// Where changes of the root end up.
    upper: OwnedFd,
    created: Vec<Stub>,
    directories: Vec<(String, bool, Time)>,
}

impl StubLog {
    pub(crate) fn new(upper: OwnedFd) -> Self {
        Self { upper, created: Vec::new(), directories: Vec::new() }
    }

    /// Creates `name` in `directory` of the mounted root.
    pub(crate) fn create(
        &mut self,
        root: impl AsFd,
        directory: &str,
        name: &str,
        kind: Kind,
    ) -> Result<(), SandboxError> {
        if self.created.len() >= STUBS_MAX {
            return Err(SandboxError::Target {
                target: join(directory, name),
                problem: format!("is one of more than {STUBS_MAX} mount points that do not exist"),
            });
        }
        let parent = open_plain(&root, Path::new(directory), OFlags::PATH | OFlags::DIRECTORY)
            .or_kernel(|| format!("openat2(root, {directory:?})"))?;
        self.note_directories(&root, directory)?;
        make(&parent, name, kind).or_kernel(|| format!("create(mount point {:?})", join(directory, name)))?;
        let path = join(directory, name);
        // On another mount there is nothing to clean up: that file system is not part of the layer.
        if let Ok(stat) = self.stat_upper(&path) {
            let is_directory = kind == Kind::Directory;
            self.created.push(Stub {
                directory: directory.to_string(),
                name: name.to_string(),
                is_directory,
                inode: stat.st_ino,
            });
        }
        Ok(())
    }

    /// Remembers how `directory` and the directories above it are before something is created in it.
    fn note_directories(&mut self, root: impl AsFd, directory: &str) -> Result<(), SandboxError> {
        let mut path = directory;
        loop {
            let copied_up = matches!(self.stat_upper(path), Err(Errno::NOENT));
            let known = self.directories.iter().any(|(known, ..)| known == path);
            if !known && (copied_up || path == directory) {
                let stat = open_plain(&root, Path::new(path), OFlags::PATH)
                    .and_then(|fd| rustix::fs::statat(fd, c"", AtFlags::EMPTY_PATH))
                    .or_kernel(|| format!("stat({path:?})"))?;
                self.directories.push((path.to_string(), copied_up, modified(&stat)));
            }
            match path.rsplit_once('/') {
                Some((above, _)) => path = above,
                None if path.is_empty() => return Ok(()),
                None => path = "",
            }
        }
    }

    fn stat_upper(&self, path: &str) -> Result<Stat, Errno> {
        stat_plain(&self.upper, path)
    }

    /// The record, taken when the last mount point exists.
    pub(crate) fn finish(self) -> Stubs {
        let Self { upper, created, directories } = self;
        if created.is_empty() {
            return Stubs::default();
        }
        let directories = directories
            .into_iter()
            .filter_map(|(path, copied_up, modified_before)| {
                let after = Stamp::of(&stat_plain(&upper, &path).ok()?);
                Some(Directory { path, copied_up, modified_before, after })
            })
            .collect();
        Stubs { created, directories }
    }
}

fn make(parent: impl AsFd, name: &str, kind: Kind) -> Result<(), Errno> {
    match kind {
        Kind::Directory => rustix::fs::mkdirat(parent, name, Mode::from_raw_mode(0o755)),
        Kind::File => {
            let flags = OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::WRONLY | OFlags::CLOEXEC;
            rustix::fs::openat(parent, name, flags, Mode::from_raw_mode(0o644)).map(drop)
        }
    }
}

fn stat_plain(upper: impl AsFd, path: &str) -> Result<Stat, Errno> {
    let fd = open_plain(upper, Path::new(path), OFlags::PATH | OFlags::NOFOLLOW)?;
    rustix::fs::statat(fd, c"", AtFlags::EMPTY_PATH)
}

impl Stubs {
    /// Takes away what is still as it was created. No process of the container is alive any more.
    ///
    /// Whatever the command replaced, renamed or filled stays: it then is a change that the command made.
    pub(crate) fn remove(&self, upper: &OwnedFd) {
        if self.created.is_empty() {
            return;
        }
        let now: Vec<Option<Stamp>> = self
            .directories
            .iter()
            .map(|directory| Some(Stamp::of(&stat_plain(upper, &directory.path).ok()?)))
            .collect();
        for stub in self.created.iter().rev() {
            stub.remove(upper);
        }
        let mut directories: Vec<_> = self.directories.iter().zip(now).collect();
        directories.sort_by_key(|(directory, _)| std::cmp::Reverse(depth(&directory.path)));
        for (directory, now) in directories {
            if let Some(now) = now.filter(|now| now.inode == directory.after.inode) {
                directory.restore(upper, now);
            }
        }
    }
}

fn depth(path: &str) -> usize {
    if path.is_empty() { 0 } else { 1 + path.matches('/').count() }
}

impl Stub {
    fn remove(&self, upper: &OwnedFd) {
        let Ok(parent) = open_plain(upper, Path::new(&self.directory), OFlags::PATH | OFlags::DIRECTORY)
        else {
            return;
        };
        let Ok(stat) = rustix::fs::statat(&parent, self.name.as_str(), AtFlags::SYMLINK_NOFOLLOW) else {
            return;
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        let is_ours = stat.st_ino == self.inode
            && if self.is_directory { kind.is_dir() } else { kind.is_file() && stat.st_size == 0 };
        if is_ours {
            let flags = if self.is_directory { AtFlags::REMOVEDIR } else { AtFlags::empty() };
            // A directory that the command filled is not empty and stays, as part of its changes.
            let _ = rustix::fs::unlinkat(&parent, self.name.as_str(), flags);
        }
    }
}

impl Directory {
    /// `now` is how the directory was before the stubs were taken away.
    fn restore(&self, upper: &OwnedFd, now: Stamp) {
        let untouched = now == self.after;
        let (above, name) = self.path.rsplit_once('/').unwrap_or(("", &self.path));
        if self.copied_up && untouched && !name.is_empty() {
            let removed = open_plain(upper, Path::new(above), OFlags::PATH | OFlags::DIRECTORY)
                .and_then(|parent| rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR));
            if removed.is_ok() {
                return;
            }
        }
        let time = if now.modified == self.after.modified { self.modified_before } else { now.modified };
        let times = Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: rustix::fs::UTIME_OMIT },
            last_modification: Timespec { tv_sec: time.0, tv_nsec: time.1 },
        };
        if let Ok(fd) = open_plain(upper, Path::new(&self.path), OFlags::RDONLY | OFlags::DIRECTORY) {
            // Best effort: a modification time that is too new changes no content digest.
            let _ = rustix::fs::futimens(fd, &times);
        }
    }
}
