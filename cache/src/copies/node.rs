//! One file of a directory that is copied or compared.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat, StatxFlags, openat, statat};
use rustix::io::Errno;

use crate::StoreError;
use crate::layer::attributes::is_overlay_xattr;

/// The attribute of a directory that hides what is below it, see overlayfs.rst of the kernel.
pub(super) const OPAQUE_XATTR: &str = "user.overlay.opaque";

/// A name in a directory.
pub(super) type Name = Vec<u8>;

/// A directory that was copied: its files when the copy was made.
pub(super) type Known = BTreeMap<Name, KnownFile>;

/// One file as it was copied. Whatever is done to it later, its change time is another.
#[derive(Debug)]
pub(super) struct KnownFile {
    pub(super) identity: Identity,
    /// When it was made, of a directory: its number may be used again for another one.
    pub(super) born: Option<(i64, u32)>,
    /// Of a directory.
    pub(super) children: Option<Known>,
}

/// What tells whether a file is the same and unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) inode: u64,
    pub(super) changed: (i64, u64),
}

impl Identity {
    pub(super) fn of(stat: &Stat) -> Self {
        Self { inode: stat.st_ino, changed: (stat.st_ctime, stat.st_ctime_nsec) }
    }
}

/// A call that failed, and on what.
#[derive(Debug)]
pub(super) struct Failed {
    name: Name,
    errno: Errno,
}

impl Failed {
    pub(super) fn at(name: &[u8]) -> impl FnOnce(Errno) -> Self {
        let name = name.to_vec();
        move |errno| Self { name, errno }
    }

    /// The name of the file is enough for its reader: the directory is a copy.
    pub(super) fn into_store(self, root: &Path) -> StoreError {
        let path: PathBuf = root.join("...").join(OsStr::from_bytes(&self.name));
        StoreError::Write { path, source: self.errno.into() }
    }
}

/// The names in a directory, sorted.
pub(super) fn names(directory: impl AsFd) -> Result<Vec<Name>, Failed> {
    let mut names = Vec::new();
    // A descriptor of its own: the position belongs to the open file.
    let reader = open_directory(directory, b".")?;
    for entry in Dir::new(reader).map_err(Failed::at(b"."))? {
        let entry = entry.map_err(Failed::at(b"."))?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push(name.to_vec());
        }
    }
    names.sort_unstable();
    Ok(names)
}

/// Opens a directory that is in this one. No link is followed.
pub(super) fn open_directory(directory: impl AsFd, name: &[u8]) -> Result<OwnedFd, Failed> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    openat(directory, name, flags, Mode::empty()).map_err(Failed::at(name))
}

/// What a name in a directory is; a link is not followed. `None` if there is no such name.
pub(super) fn look(directory: impl AsFd, name: &[u8]) -> Result<Option<Stat>, Failed> {
    match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(error) => Err(Failed::at(name)(error)),
    }
}

/// When a file was made, if its file system knows.
pub(super) fn birth(directory: impl AsFd, name: &[u8]) -> Result<Option<(i64, u32)>, Failed> {
    let found = rustix::fs::statx(directory, name, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::BTIME)
        .map_err(Failed::at(name))?;
    let is_known = found.stx_mask & StatxFlags::BTIME.bits() != 0;
    Ok(is_known.then_some((found.stx_btime.tv_sec, found.stx_btime.tv_nsec)))
}

pub(super) fn kind(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Whether it stands for a file that is gone, see overlayfs.rst of the kernel.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    kind(stat) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// The path of a name in an open directory, for the calls on extended attributes that have none of their own.
pub(super) fn proc_path(directory: impl AsFd, name: &[u8]) -> Vec<u8> {
    use std::os::fd::AsRawFd;
    let mut path = format!("/proc/self/fd/{}/", directory.as_fd().as_raw_fd()).into_bytes();
    path.extend(name);
    path
}

/// The attributes that a copy has too.
pub(super) fn xattrs(path: &[u8]) -> Result<Vec<(Name, Vec<u8>)>, Failed> {
    let mut found = crate::layer::xattr::of_path(path).map_err(Failed::at(path))?;
    found.retain(|(name, _)| !is_overlay_xattr(name));
    Ok(found)
}
