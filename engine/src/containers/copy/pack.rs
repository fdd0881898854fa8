//! Writes a file, or a directory with all that is in it, as a tar.

use std::collections::{BTreeSet, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, Dir, FileType, Mode, OFlags, Stat, fgetxattr, flistxattr, fstat, major, minor, openat,
    readlinkat, statat,
};
use rustix::io::Errno;
use tar::{Builder, EntryType, Header};

use super::at_rest::Mounted;
use super::error::CopyError;
use super::place::{Place, open_plain};

/// Longest list of attributes, and longest value, see xattr(7).
const XATTR_BYTES_MAX: usize = 64 << 10;
/// What precedes the name of an attribute in a tar, as in GNU tar and in Docker.
pub(super) const XATTR_RECORD: &str = "SCHILY.xattr.";
/// Longest target of a link in a header.
const LINK_BYTES_MAX: usize = 100;
/// Permissions with the bits for set-user-id, set-group-id and sticky.
const MODE_BITS: u32 = 0o7777;

/// Whether an attribute travels: those that have a meaning elsewhere.
pub(super) fn travels(attribute: &str) -> bool {
    attribute == "security.capability"
        || attribute.starts_with("user.") && !attribute.starts_with("user.overlay.")
}

/// Writes what is at `place` with `name` for its topmost entry, and what is mounted beneath it where that belongs.
pub(super) fn pack(
    place: &Place,
    name: &Path,
    mounted: &[Mounted],
    to: &mut dyn Write,
) -> Result<(), CopyError> {
    let mut packer = Packer { builder: Builder::new(to), links: HashMap::new(), mounted };
    packer.one(&place.directory, &place.name, name)?;
    if place.is_directory() {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let root = openat(&place.directory, &place.name, flags, Mode::empty())
            .map_err(CopyError::call(&place.whole_path()))?;
        packer.below(&root, name)?;
    }
    packer.builder.finish().map_err(|source| CopyError::Archive { source })
}

struct Packer<'a> {
    builder: Builder<&'a mut dyn Write>,
    /// First names of files that have several.
    links: HashMap<(u64, u64), PathBuf>,
    mounted: &'a [Mounted],
}

impl Packer<'_> {
    /// All that is below a directory. Each directory is opened by its path beneath the first one, so that a deep tree
    /// needs no more descriptors than a flat one.
    fn below(&mut self, root: &OwnedFd, name: &Path) -> Result<(), CopyError> {
        let mounted = self.mounted;
        // The root of the mount that a directory is in, its path there, and from the first one.
        let mut pending = vec![(root, PathBuf::new(), PathBuf::new())];
        while let Some((root, inside, path)) = pending.pop() {
            let flags = OFlags::RDONLY | OFlags::DIRECTORY;
            let directory = match open_plain(root, &inside, flags) {
                // It was there, and then it was not.
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => continue,
                directory => directory.map_err(CopyError::call(&path))?,
            };
            let mut directories = Vec::new();
            for child in self.children(&directory, &path)? {
                let below = path.join(&child);
                let (from, file, next) = match mounted.iter().find(|mounted| mounted.path == below) {
                    Some(Mounted { directory, name, .. }) => (directory, name, (directory, PathBuf::new())),
                    None => (&directory, &child, (root, inside.join(&child))),
                };
                if self.one(from, file, &name.join(&below))? {
                    directories.push((next.0, next.1, below));
                }
            }
            pending.extend(directories.into_iter().rev());
        }
        Ok(())
    }

    /// What is in a directory, in the order of the names. What is mounted there has a name before it has a place.
    fn children(&self, directory: &OwnedFd, path: &Path) -> Result<BTreeSet<OsString>, CopyError> {
        let names = names(directory).map_err(CopyError::call(path))?;
        let mounted = self.mounted.iter().filter(|mounted| mounted.path.parent() == Some(path));
        let mounted = mounted.filter_map(|mounted| mounted.path.file_name().map(OsStr::to_owned));
        Ok(names.into_iter().chain(mounted).collect())
    }

    /// One entry. True for a directory.
    fn one(&mut self, directory: &OwnedFd, name: &OsStr, path: &Path) -> Result<bool, CopyError> {
        let stat = match statat(directory, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => return Ok(false),
            stat => stat.map_err(CopyError::call(path))?,
        };
        let kind = FileType::from_raw_mode(stat.st_mode);
        match kind {
            FileType::RegularFile => self.file(directory, name, path)?,
            FileType::Directory => {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
                let fd = openat(directory, name, flags, Mode::empty()).map_err(CopyError::call(path))?;
                self.attributes(&fd, path)?;
                // With a slash at its end, as in every tar.
                self.append(header(&stat, EntryType::Directory), &path.join(""), &mut io::empty())?;
            }
            FileType::Symlink => {
                let link = readlinkat(directory, name, Vec::new()).map_err(CopyError::call(path))?;
                self.link(header(&stat, EntryType::Symlink), path, link.as_bytes())?;
            }
            FileType::Fifo => self.append(header(&stat, EntryType::Fifo), path, &mut io::empty())?,
            FileType::CharacterDevice | FileType::BlockDevice => {
                let is_block = kind == FileType::BlockDevice;
                let mut header = header(&stat, if is_block { EntryType::Block } else { EntryType::Char });
                let set = header.set_device_major(major(stat.st_rdev));
                set.and_then(|()| header.set_device_minor(minor(stat.st_rdev)))
                    .map_err(|source| CopyError::Archive { source })?;
                self.append(header, path, &mut io::empty())?;
            }
            // A socket means nothing without its process.
            _ => {}
        }
        Ok(kind == FileType::Directory)
    }

    fn file(&mut self, directory: &OwnedFd, name: &OsStr, path: &Path) -> Result<(), CopyError> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = openat(directory, name, flags, Mode::empty()).map_err(CopyError::call(path))?;
        let stat = fstat(&fd).map_err(CopyError::call(path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(CopyError::Refused(format!("`{}` changed while it was read", path.display())));
        }
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&(stat.st_dev, stat.st_ino)).cloned() {
                return self.link(header(&stat, EntryType::Link), path, first.as_os_str().as_bytes());
            }
            self.links.insert((stat.st_dev, stat.st_ino), path.to_owned());
        }
        self.attributes(&fd, path)?;
        let size = stat.st_size.unsigned_abs();
        let mut header = header(&stat, EntryType::Regular);
        header.set_size(size);
        // What is added meanwhile is left out; what is taken away is zeros, as in GNU tar.
        let mut content = File::from(fd).chain(io::repeat(0)).take(size);
        self.append(header, path, &mut content)
    }

    fn attributes(&mut self, fd: &OwnedFd, path: &Path) -> Result<(), CopyError> {
        let found = xattrs(fd).map_err(CopyError::call(path))?;
        if found.is_empty() {
            return Ok(());
        }
        let records: Vec<(String, Vec<u8>)> =
            found.into_iter().map(|(name, value)| (format!("{XATTR_RECORD}{name}"), value)).collect();
        let records = records.iter().map(|(name, value)| (name.as_str(), value.as_slice()));
        self.builder.append_pax_extensions(records).map_err(|source| CopyError::Archive { source })
    }

    fn append(&mut self, mut header: Header, path: &Path, content: &mut dyn Read) -> Result<(), CopyError> {
        self.builder.append_data(&mut header, path, content).map_err(|source| CopyError::Archive { source })
    }

    fn link(&mut self, mut header: Header, path: &Path, target: &[u8]) -> Result<(), CopyError> {
        let archive = |source| CopyError::Archive { source };
        if target.len() > LINK_BYTES_MAX {
            return self.builder.append_link(&mut header, path, OsStr::from_bytes(target)).map_err(archive);
        }
        // As it is, with its slashes and dots.
        header.set_link_name_literal(target).map_err(archive)?;
        self.append(header, path, &mut io::empty())
    }
}

fn header(stat: &Stat, kind: EntryType) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(stat.st_mode & MODE_BITS);
    header.set_uid(stat.st_uid.into());
    header.set_gid(stat.st_gid.into());
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header.set_size(0);
    header
}

fn names(directory: &OwnedFd) -> Result<Vec<OsString>, Errno> {
    let entries = Dir::read_from(directory)?;
    let names =
        entries.map(|entry| entry.map(|entry| OsString::from_vec(entry.file_name().to_bytes().to_vec())));
    let mut names = names.collect::<Result<Vec<_>, _>>()?;
    names.retain(|name| name != "." && name != "..");
    Ok(names)
}

fn xattrs(fd: &OwnedFd) -> Result<Vec<(String, Vec<u8>)>, Errno> {
    let mut buffer = vec![0; XATTR_BYTES_MAX];
    let length = match flistxattr(fd, &mut buffer[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        length => length?,
    };
    let list =
        buffer[..length].split(|byte| *byte == 0).map(|name| String::from_utf8_lossy(name).into_owned());
    let list: Vec<String> = list.filter(|name| travels(name)).collect();
    let mut found = Vec::new();
    for name in list {
        match fgetxattr(fd, &*name, &mut buffer[..]) {
            Ok(length) => found.push((name, buffer[..length].to_vec())),
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(found)
}
