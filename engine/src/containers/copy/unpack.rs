//! Makes the files of a tar in a directory that may have others already.

use std::ffi::{OsStr, OsString};
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{
    AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, Uid, chownat, linkat, mkdirat, utimensat,
};
use rustix::io::Errno;
use tar::{Archive, Entry, EntryType};

use super::error::CopyError;
use super::made::{Attributes, Made};
use super::pack::{XATTR_RECORD, travels};
use super::place::{Place, Tree, open_plain};

/// Mode of directories that no entry speaks of.
const DIRECTORY_MODE: u32 = 0o755;
/// Where files may land.
#[derive(Clone, Copy)]
pub(super) enum Within<'a> {
    /// In a directory, or where links lead from there that are in its tree: a container's own.
    Links(&'a Place, &'a Tree),
    /// In a directory, never through a link.
    Plain(&'a Place),
}

impl<'a> Within<'a> {
    pub(super) fn without_links(self) -> Self {
        Within::Plain(self.place())
    }

    fn place(self) -> &'a Place {
        match self {
            Within::Links(place, _) | Within::Plain(place) => place,
        }
    }

    fn directory(self, path: &Path) -> Result<OwnedFd, Errno> {
        match self {
            Within::Links(place, tree) => tree.directory(&place.path.join(path)),
            Within::Plain(place) => open_plain(&place.directory, path, OFlags::PATH | OFlags::DIRECTORY),
        }
    }
}

/// The files of one tar on their way into a directory.
pub(super) struct Unpacking<'a> {
    within: Within<'a>,
    /// Who gets them; none to keep their owners.
    owner: Option<(u32, u32)>,
    /// Directories, whose times are set when nothing more is put in them.
    directories: Vec<(PathBuf, Timestamps)>,
}

impl<'a> Unpacking<'a> {
    pub(super) fn new(within: Within<'a>, owner: Option<(u32, u32)>) -> Self {
        Self { within, owner, directories: Vec::new() }
    }

    pub(super) fn run(mut self, from: &mut dyn Read) -> Result<(), CopyError> {
        let archive = |source| CopyError::Archive { source };
        let mut tar = Archive::new(from);
        for entry in tar.entries().map_err(archive)? {
            self.one(&mut entry.map_err(archive)?)?;
        }
        // The writer comes to its end as well.
        io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(archive)?;
        for (path, times) in self.directories.into_iter().rev() {
            let opened = self.within.directory(&path);
            // Whoever has taken it away meanwhile does not care for its time.
            if let Ok(directory) = opened {
                let _ = utimensat(&directory, ".", &times, AtFlags::SYMLINK_NOFOLLOW);
            }
        }
        Ok(())
    }

    fn one(&mut self, entry: &mut Entry<'_, impl Read>) -> Result<(), CopyError> {
        let path = relative(&entry.path_bytes())?;
        let Some(name) = path.file_name().map(OsStr::to_owned) else { return Ok(()) };
        let attributes = self.attributes(entry).map_err(|source| CopyError::Archive { source })?;
        let above = path.parent().unwrap_or(Path::new(""));
        let directory = self.parent(above)?;
        let kind = entry.header().entry_type();
        let made = Made { directory: &directory, name: &name, path: &path, attributes: &attributes };
        if kind == EntryType::Directory {
            made.directory()?;
            self.directories.push((path, attributes.times));
            return Ok(());
        }
        made.make_room()?;
        match kind {
            EntryType::Symlink => made.symlink(&link_of(entry)?),
            EntryType::Link => {
                let target = relative(&link_of(entry)?)?;
                let first = self.parent(target.parent().unwrap_or(Path::new("")))?;
                let target = target.file_name().unwrap_or_default();
                linkat(&first, target, &directory, &name, AtFlags::empty()).map_err(CopyError::call(&path))
            }
            EntryType::Fifo | EntryType::Char | EntryType::Block => made.node(kind, entry),
            kind if kind.is_file() || kind.is_gnu_sparse() => made.file(entry),
            _ => {
                tracing::warn!("`{}` is nothing that can be unpacked: it is left out", path.display());
                Ok(())
            }
        }
    }

    /// The directory of an entry, which is made if no other entry has.
    fn parent(&self, path: &Path) -> Result<OwnedFd, CopyError> {
        match self.within.directory(path) {
            Err(Errno::NOENT) if path.file_name().is_some() => {}
            opened => return opened.map_err(CopyError::call(path)),
        }
        let above = self.parent(path.parent().unwrap_or(Path::new("")))?;
        let name = path.file_name().unwrap_or_default();
        let make = || {
            mkdirat(&above, name, Mode::from_raw_mode(DIRECTORY_MODE))?;
            let (uid, gid) = self.owner.unwrap_or(super::ROOT_OWNER);
            chownat(
                &above,
                name,
                Some(Uid::from_raw(uid)),
                Some(Gid::from_raw(gid)),
                AtFlags::SYMLINK_NOFOLLOW,
            )?;
            self.within.directory(path)
        };
        make().map_err(CopyError::call(path))
    }

    fn attributes(&self, entry: &mut Entry<'_, impl Read>) -> io::Result<Attributes> {
        let mut xattrs = Vec::new();
        for record in entry.pax_extensions()?.into_iter().flatten() {
            let record = record?;
            let name = record.key().ok().and_then(|key| key.strip_prefix(XATTR_RECORD));
            if let Some(name) = name.filter(|name| travels(name)) {
                xattrs.push((name.to_owned(), record.value_bytes().to_vec()));
            }
        }
        let header = entry.header();
        let number = |number: u64| u32::try_from(number).map_err(io::Error::other);
        let owner = match self.owner {
            Some(owner) => owner,
            None => (number(header.uid()?)?, number(header.gid()?)?),
        };
        let tv_sec = i64::try_from(header.mtime()?).unwrap_or(0);
        let time = Timespec { tv_sec, tv_nsec: 0 };
        let times = Timestamps { last_access: time, last_modification: time };
        Ok(Attributes { mode: Mode::from_raw_mode(header.mode()?), owner, times, xattrs })
    }
}

fn link_of(entry: &Entry<'_, impl Read>) -> Result<Vec<u8>, CopyError> {
    let link = entry.link_name_bytes().map(|link| link.into_owned());
    link.ok_or_else(|| CopyError::Refused("the archive has a link that leads nowhere".to_owned()))
}

/// A name of an entry, which does not lead up.
fn relative(bytes: &[u8]) -> Result<PathBuf, CopyError> {
    let mut path = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(bytes)).components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => {
                let name = OsString::from(OsStr::from_bytes(bytes));
                let problem = format!("the archive has an entry that leads out of its directory: {name:?}");
                return Err(CopyError::Refused(problem));
            }
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(path)
}
