//! One file of a tar in the making.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Timestamps, Uid, XattrFlags, chmodat, chownat, fchmod, fchown,
    fsetxattr, futimens, makedev, mkdirat, mknodat, openat, statat, symlinkat, unlinkat, utimensat,
};
use rustix::io::Errno;
use tar::{Entry, EntryType};

use super::error::CopyError;

/// Mode of files until their owner is known.
const PRIVATE_MODE: u32 = 0o600;

/// What an entry says of a file beside its content.
pub(super) struct Attributes {
    pub(super) mode: Mode,
    pub(super) owner: (u32, u32),
    pub(super) times: Timestamps,
    pub(super) xattrs: Vec<(String, Vec<u8>)>,
}

/// One file in the making.
pub(super) struct Made<'a> {
    pub(super) directory: &'a OwnedFd,
    pub(super) name: &'a OsStr,
    pub(super) path: &'a Path,
    pub(super) attributes: &'a Attributes,
}

impl Made<'_> {
    /// Removes what has the name, unless it is a directory.
    pub(super) fn make_room(&self) -> Result<(), CopyError> {
        match unlinkat(self.directory, self.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => Ok(()),
            Err(Errno::ISDIR) => Err(CopyError::Refused(format!(
                "cannot overwrite directory \"{}\" with non-directory",
                self.path.display()
            ))),
            Err(errno) => Err(CopyError::at(self.path, errno)),
        }
    }

    pub(super) fn directory(&self) -> Result<(), CopyError> {
        match mkdirat(self.directory, self.name, Mode::from_raw_mode(PRIVATE_MODE)) {
            Ok(()) => {}
            Err(Errno::EXIST) => {
                let stat = statat(self.directory, self.name, AtFlags::SYMLINK_NOFOLLOW)
                    .map_err(CopyError::call(self.path))?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    return Err(CopyError::Refused(format!(
                        "cannot overwrite non-directory \"{}\" with directory",
                        self.path.display()
                    )));
                }
            }
            Err(errno) => return Err(CopyError::at(self.path, errno)),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd =
            openat(self.directory, self.name, flags, Mode::empty()).map_err(CopyError::call(self.path))?;
        self.dress(&fd)
    }

    pub(super) fn file(&self, content: &mut impl Read) -> Result<(), CopyError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = openat(self.directory, self.name, flags, Mode::from_raw_mode(PRIVATE_MODE))
            .map_err(CopyError::call(self.path))?;
        let mut file = File::from(fd);
        if let Err(error) = io::copy(content, &mut file) {
            // Half a file is of no use.
            let _ = unlinkat(self.directory, self.name, AtFlags::empty());
            return Err(CopyError::at(self.path, error));
        }
        let fd = OwnedFd::from(file);
        self.dress(&fd)?;
        futimens(&fd, &self.attributes.times).map_err(CopyError::call(self.path))
    }

    /// Owner first: a change of it takes the bits away that the mode may have.
    fn dress(&self, fd: &OwnedFd) -> Result<(), CopyError> {
        let (uid, gid) = self.owner();
        fchown(fd, uid, gid).map_err(CopyError::call(self.path))?;
        for (name, value) in &self.attributes.xattrs {
            match fsetxattr(fd, name.as_str(), value, XattrFlags::empty()) {
                // A file system that has none, or a user who may not give capabilities: the file is there all the same.
                Err(errno @ (Errno::OPNOTSUPP | Errno::PERM)) => {
                    tracing::warn!("`{}` does not get its attribute {name}: {errno}", self.path.display());
                }
                set => set.map_err(CopyError::call(self.path))?,
            }
        }
        fchmod(fd, self.attributes.mode).map_err(CopyError::call(self.path))
    }

    fn owner(&self) -> (Option<Uid>, Option<Gid>) {
        let (uid, gid) = self.attributes.owner;
        (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)))
    }

    pub(super) fn symlink(&self, target: &[u8]) -> Result<(), CopyError> {
        let make = || {
            symlinkat(OsStr::from_bytes(target), self.directory, self.name)?;
            let (uid, gid) = self.owner();
            chownat(self.directory, self.name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            utimensat(self.directory, self.name, &self.attributes.times, AtFlags::SYMLINK_NOFOLLOW)
        };
        make().map_err(CopyError::call(self.path))
    }

    pub(super) fn node(&self, kind: EntryType, entry: &Entry<'_, impl Read>) -> Result<(), CopyError> {
        let number = |number: io::Result<Option<u32>>| number.ok().flatten().unwrap_or(0);
        let header = entry.header();
        let (kind, device) = match kind {
            EntryType::Fifo => (FileType::Fifo, 0),
            kind => {
                let device = makedev(number(header.device_major()), number(header.device_minor()));
                let is_block = kind == EntryType::Block;
                (if is_block { FileType::BlockDevice } else { FileType::CharacterDevice }, device)
            }
        };
        let make = || {
            mknodat(self.directory, self.name, kind, Mode::from_raw_mode(PRIVATE_MODE), device)?;
            let (uid, gid) = self.owner();
            chownat(self.directory, self.name, uid, gid, AtFlags::SYMLINK_NOFOLLOW)?;
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let fd = openat(self.directory, self.name, flags, Mode::empty())?;
            let path = format!("/proc/self/fd/{}", fd.as_raw_fd());
            chmodat(CWD, path, self.attributes.mode, AtFlags::empty())?;
            utimensat(self.directory, self.name, &self.attributes.times, AtFlags::SYMLINK_NOFOLLOW)
        };
        make().map_err(CopyError::call(self.path))
    }
}
