//! Copies the files of images into a directory of the host.

use std::collections::HashSet;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, fchmod, fgetxattr, flistxattr,
    fsetxattr, futimens, mkdirat, mknodat, openat, readlinkat, renameat, statat, symlinkat, syncfs, unlinkat,
    utimensat,
};
use rustix::io::Errno;

use super::{ImageError, OnProgress, prune_local};
use crate::LocalMode;

/// Directories within directories; two descriptors are open for each, and a process has 1024 by default.
const DEPTH_MAX: usize = 400;
/// `XATTR_SIZE_MAX` and `XATTR_LIST_MAX` of the kernel, see xattr(7).
const XATTR_BYTES_MAX: usize = 64 << 10;
/// Of files that are not complete yet.
const STAGED_NAME: &CStr = c".slipway-export-incomplete";
/// Attributes that belong to the user, see xattr(7).
const USER_XATTRS: &[u8] = b"user.";
/// Permissions without set-user-id and set-group-id: the files belong to whoever exports them.
const PERMISSIONS: u32 = 0o1777;
/// Of the directory of a platform.
const DIRECTORY_MODE: Mode = Mode::from_raw_mode(0o755);
/// Of the progress.
const PART: &str = "copying files";

/// A copy of trees into a directory, which is made when it is missing.
///
/// As in BuildKit the files belong to whoever exports them. Modes (but set-user-id and set-group-id), times
/// and `user.` attributes are kept, hard links become separate files, device nodes and sockets are left out.
/// What is in the directory already stays, unless a file or link of the same name takes its place or all else is to
/// be deleted; each file appears whole.
///
/// Below the directory no symbolic link is followed: one in the place of a directory is an error.
pub(crate) struct LocalCopy<'a> {
    place: PathBuf,
    root: File,
    /// Everything that was copied, by paths from the root, when all else is to be deleted.
    copied: Option<HashSet<PathBuf>>,
    on_progress: OnProgress<'a>,
}

impl<'a> LocalCopy<'a> {
    /// Begins in a directory.
    ///
    /// # Errors
    ///
    /// [`ImageError::DeleteHere`], [`ImageError::Write`].
    pub(crate) fn new(to: &Path, mode: LocalMode, on_progress: OnProgress<'a>) -> Result<Self, ImageError> {
        if mode == LocalMode::Delete {
            prune_local::check(to)?;
        }
        let failed = |source: io::Error| ImageError::Write { path: to.to_owned(), source };
        std::fs::create_dir_all(to).map_err(failed)?;
        let root = File::open(to).map_err(failed)?;
        let copied = (mode == LocalMode::Delete).then(HashSet::new);
        Ok(Self { place: to.to_owned(), root, copied, on_progress })
    }

    /// Copies a tree to a directory below, or for an empty path to the directory itself.
    ///
    /// # Errors
    ///
    /// [`ImageError::Write`] with what the kernel said.
    pub(crate) fn add(&mut self, from: BorrowedFd<'_>, below: &Path) -> Result<(), ImageError> {
        let to = self.place.join(below);
        let failed = |source: io::Error| ImageError::Write { path: to.clone(), source };
        let mut root = open_directory(&self.root, c".").map_err(|error| failed(error.into()))?;
        if !below.as_os_str().is_empty() {
            let name = CString::new(below.as_os_str().as_bytes()).map_err(|error| failed(error.into()))?;
            root = make_directory(root.as_fd(), &name).map_err(|error| failed(error.into()))?;
            fchmod(&root, DIRECTORY_MODE).map_err(|error| failed(error.into()))?;
            self.copied.iter_mut().for_each(|copied| copied.extend([below.to_owned()]));
        }
        let from = open_directory(from, c".").map_err(|error| failed(error.into()))?;
        let mut copy = Copy {
            path: to.clone(),
            place: &self.place,
            copied: &mut self.copied,
            count_bytes: 0,
            on_progress: self.on_progress,
        };
        copy.directory(&from, root.as_fd(), 0)
    }

    /// Ends the copy: the files are durable when this returns.
    pub(crate) fn finish(self) -> Result<(), ImageError> {
        if let Some(copied) = &self.copied {
            prune_local::prune(self.root.as_fd(), &self.place, copied)?;
        }
        let failed = |error: Errno| ImageError::Write { path: self.place.clone(), source: error.into() };
        syncfs(&self.root).map_err(failed)
    }
}

struct Copy<'a> {
    place: &'a Path,
    copied: &'a mut Option<HashSet<PathBuf>>,
    /// Of the entry that is copied, for errors.
    path: PathBuf,
    count_bytes: u64,
    on_progress: OnProgress<'a>,
}

impl Copy<'_> {
    fn failed(&self, source: impl Into<io::Error>) -> ImageError {
        ImageError::Write { path: self.path.clone(), source: source.into() }
    }

    fn directory(&mut self, from: &OwnedFd, to: BorrowedFd<'_>, depth: usize) -> Result<(), ImageError> {
        if depth > DEPTH_MAX {
            return Err(self.failed(io::Error::other(format!("more than {DEPTH_MAX} directories deep"))));
        }
        for name in names(from).map_err(|error| self.failed(error))? {
            self.path.push(std::ffi::OsStr::from_bytes(name.to_bytes()));
            self.entry(from, to, &name, depth)?;
            self.path.pop();
        }
        Ok(())
    }

    fn entry(
        &mut self,
        from: &OwnedFd,
        to: BorrowedFd<'_>,
        name: &CStr,
        depth: usize,
    ) -> Result<(), ImageError> {
        let stat = statat(from, name, AtFlags::SYMLINK_NOFOLLOW).map_err(|error| self.failed(error))?;
        if let Some(copied) = &mut self.copied {
            let path = self.path.strip_prefix(self.place).expect("what is copied is below the place");
            copied.insert(path.to_owned());
        }
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => {
                let source = open_directory(from, name).map_err(|error| self.failed(error))?;
                let target = make_directory(to, name).map_err(|error| self.failed(error))?;
                self.directory(&source, target.as_fd(), depth + 1)?;
                finish(&source, &target, &stat).map_err(|error| self.failed(error))
            }
            FileType::RegularFile => self.file(from, to, name, &stat),
            FileType::Symlink => {
                let link = || {
                    let target = readlinkat(from, name, Vec::new())?;
                    symlinkat(&target, to, STAGED_NAME)?;
                    utimensat(to, STAGED_NAME, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)
                };
                self.staged(to, name, link().map_err(io::Error::from))
            }
            FileType::Fifo => {
                let make = || {
                    mknodat(to, STAGED_NAME, FileType::Fifo, permissions(&stat), 0)?;
                    utimensat(to, STAGED_NAME, &times(&stat), AtFlags::SYMLINK_NOFOLLOW)
                };
                self.staged(to, name, make().map_err(io::Error::from))
            }
            kind => {
                tracing::warn!(path = %self.path.display(), ?kind, "is not exported into a directory");
                Ok(())
            }
        }
    }

    fn file(
        &mut self,
        from: &OwnedFd,
        to: BorrowedFd<'_>,
        name: &CStr,
        stat: &Stat,
    ) -> Result<(), ImageError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let source = openat(from, name, flags, Mode::empty()).map_err(|error| self.failed(error))?;
        let mut source = File::from(source);
        let copied = self.copy_bytes(&mut source, to, stat);
        self.staged(to, name, copied)
    }

    fn copy_bytes(&mut self, source: &mut File, to: BorrowedFd<'_>, stat: &Stat) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let create = || openat(to, STAGED_NAME, flags, Mode::from_raw_mode(0o600));
        let target = match create() {
            // Left by an export that was killed.
            Err(Errno::EXIST) => unlinkat(to, STAGED_NAME, AtFlags::empty()).and_then(|()| create()),
            created => created,
        };
        let mut target = File::from(target?);
        self.count_bytes += io::copy(source, &mut target)?;
        (self.on_progress)(PART, self.count_bytes, None);
        Ok(finish(source, &target, stat)?)
    }

    /// Gives what is complete its name, or removes what is not.
    fn staged(&self, to: BorrowedFd<'_>, name: &CStr, made: io::Result<()>) -> Result<(), ImageError> {
        let renamed = made.and_then(|()| Ok(renameat(to, STAGED_NAME, to, name)?));
        renamed.map_err(|error| {
            // Best effort: the error that matters is the first one.
            let _ = unlinkat(to, STAGED_NAME, AtFlags::empty());
            self.failed(error)
        })
    }
}

pub(crate) fn names(directory: &OwnedFd) -> rustix::io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(directory)? {
        let entry = entry?;
        if entry.file_name() != c"." && entry.file_name() != c".." {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort_unstable();
    Ok(names)
}

pub(crate) fn open_directory(parent: impl AsFd, name: &CStr) -> rustix::io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(parent, name, flags, Mode::empty())
}

/// The directory of this name, which may be there already.
fn make_directory(parent: BorrowedFd<'_>, name: &CStr) -> rustix::io::Result<OwnedFd> {
    match mkdirat(parent, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => open_directory(parent, name),
        Err(error) => Err(error),
    }
}

/// Attributes, mode and times, in the order in which the one does not undo the other.
fn finish(source: impl AsFd, target: impl AsFd, stat: &Stat) -> rustix::io::Result<()> {
    copy_user_xattrs(&source, &target)?;
    fchmod(&target, permissions(stat))?;
    futimens(&target, &times(stat))
}

fn copy_user_xattrs(source: impl AsFd, target: impl AsFd) -> rustix::io::Result<()> {
    let mut list = vec![0; XATTR_BYTES_MAX];
    let length = match flistxattr(&source, &mut list[..]) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP) => 0,
        Err(error) => return Err(error),
    };
    for name in list[..length].split_inclusive(|byte| *byte == 0).filter(|name| name.starts_with(USER_XATTRS))
    {
        let Ok(name) = CStr::from_bytes_with_nul(name) else { continue };
        let mut value = vec![0; XATTR_BYTES_MAX];
        let length = fgetxattr(&source, name, &mut value[..])?;
        match fsetxattr(&target, name, &value[..length], rustix::fs::XattrFlags::empty()) {
            // A destination without them, such as vfat.
            Ok(()) | Err(Errno::OPNOTSUPP) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn permissions(stat: &Stat) -> Mode {
    Mode::from_raw_mode(stat.st_mode & PERMISSIONS)
}

fn times(stat: &Stat) -> Timestamps {
    let time =
        Timespec { tv_sec: stat.st_mtime, tv_nsec: i64::try_from(stat.st_mtime_nsec).unwrap_or_default() };
    Timestamps { last_access: time, last_modification: time }
}
