//! Copies layers to one directory, the topmost first, as overlayfs would show them.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_NOW, Uid, XattrFlags, chmodat,
    chownat, fstat, getxattr, linkat, lsetxattr, mkdirat, mknodat, openat, readlinkat, symlinkat, utimensat,
};
use rustix::io::Errno;

use super::node::{
    Failed, Identity, Known, KnownFile, Name, OPAQUE_XATTR, birth, is_whiteout, kind, look, names,
    open_directory, proc_path, xattrs,
};

/// How long to wait before the clock of the file system is looked at again. It moves every few milliseconds.
const TICK: Duration = Duration::from_millis(1);

/// Copies `layers`, topmost first, to the empty directory `into`. What is done to a copy afterwards shows in its change
/// time.
pub(super) fn merge(layers: &[OwnedFd], into: &OwnedFd) -> Result<Known, Failed> {
    let mut merge = Merge { root: into, path: Vec::new(), links: HashMap::new(), newest: (0, 0) };
    let mut known = merge.directory(layers, into)?;
    if !merge.links.is_empty() {
        merge.look_again(into, &mut known)?;
    }
    merge.wait_for_the_clock(into)?;
    Ok(known)
}

struct Merge<'a> {
    root: &'a OwnedFd,
    /// Of the directory that is being copied, below the root.
    path: Name,
    /// Where files of a layer with several names were copied to first.
    links: HashMap<(u64, u64), Name>,
    /// The latest change time of a copy.
    newest: (i64, u64),
}

impl Merge<'_> {
    fn directory(&mut self, layers: &[OwnedFd], into: &OwnedFd) -> Result<Known, Failed> {
        let mut known = Known::new();
        let mut decided = BTreeSet::new();
        for (depth, layer) in layers.iter().enumerate() {
            for name in names(layer)? {
                if !decided.insert(name.clone()) {
                    continue;
                }
                let Some(stat) = look(layer, &name)? else { continue };
                if is_whiteout(&stat) {
                    continue;
                }
                let children = if kind(&stat) == FileType::Directory {
                    Some(self.sub_directory(&layers[depth..], &name, into)?)
                } else {
                    self.file(layer, &name, &stat, into)?;
                    None
                };
                set_attributes(layer, &name, &stat, into)?;
                let copied = look(into, &name)?.ok_or(Errno::NOENT).map_err(Failed::at(&name))?;
                let identity = Identity::of(&copied);
                self.newest = self.newest.max(identity.changed);
                let born = if children.is_some() { birth(into, &name)? } else { None };
                known.insert(name, KnownFile { identity, born, children });
            }
        }
        Ok(known)
    }

    /// Another name of a file, given to it later, has changed it.
    fn look_again(&mut self, directory: &OwnedFd, known: &mut Known) -> Result<(), Failed> {
        for (name, file) in known {
            match &mut file.children {
                Some(children) => self.look_again(&open_directory(directory, name)?, children)?,
                None => {
                    let Some(stat) = look(directory, name)? else { continue };
                    file.identity = Identity::of(&stat);
                    self.newest = self.newest.max(file.identity.changed);
                }
            }
        }
        Ok(())
    }

    fn sub_directory(&mut self, layers: &[OwnedFd], name: &[u8], into: &OwnedFd) -> Result<Known, Failed> {
        let mut stack = Vec::new();
        for layer in layers {
            match look(layer, name)? {
                None => {}
                Some(stat) if kind(&stat) == FileType::Directory => {
                    stack.push(open_directory(layer, name)?);
                    if is_opaque(layer, name)? {
                        break;
                    }
                }
                Some(_) => break,
            }
        }
        mkdirat(into, name, Mode::from_raw_mode(0o700)).map_err(Failed::at(name))?;
        let length = self.path.len();
        self.path.extend([name, b"/"].concat());
        let known = self.directory(&stack, &open_directory(into, name)?);
        self.path.truncate(length);
        known
    }

    fn file(&mut self, layer: &OwnedFd, name: &[u8], stat: &Stat, into: &OwnedFd) -> Result<(), Failed> {
        let key = (stat.st_dev, stat.st_ino);
        if stat.st_nlink > 1 {
            if let Some(first) = self.links.get(&key) {
                return linkat(self.root, first, into, name, AtFlags::empty()).map_err(Failed::at(name));
            }
            self.links.insert(key, [&self.path, name].concat());
        }
        match kind(stat) {
            FileType::RegularFile => copy_bytes(layer, name, into),
            FileType::Symlink => {
                readlinkat(layer, name, Vec::new()).and_then(|target| symlinkat(target, into, name))
            }
            other => mknodat(into, name, other, Mode::from_raw_mode(0o600), stat.st_rdev),
        }
        .map_err(Failed::at(name))
    }

    /// Waits until a change made now has a later time than every copy.
    fn wait_for_the_clock(&self, into: &OwnedFd) -> Result<(), Failed> {
        loop {
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let times = Timestamps { last_access: now, last_modification: now };
            rustix::fs::futimens(into, &times).map_err(Failed::at(b"."))?;
            let stat = fstat(into).map_err(Failed::at(b"."))?;
            if Identity::of(&stat).changed > self.newest {
                return Ok(());
            }
            std::thread::sleep(TICK);
        }
    }
}

fn is_opaque(layer: &OwnedFd, name: &[u8]) -> Result<bool, Failed> {
    let mut value = [0; 1];
    match getxattr(proc_path(layer, name), OPAQUE_XATTR, &mut value[..]) {
        Ok(_) => Ok(value == *b"y"),
        Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::RANGE) => Ok(false),
        Err(error) => Err(Failed::at(name)(error)),
    }
}

/// The standard library lets the file system share the blocks where it can.
fn copy_bytes(layer: &OwnedFd, name: &[u8], into: &OwnedFd) -> Result<(), Errno> {
    let read = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let write = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let mut from = File::from(openat(layer, name, read, Mode::empty())?);
    let mut to = File::from(openat(into, name, write, Mode::from_raw_mode(0o600))?);
    std::io::copy(&mut from, &mut to)
        .map(drop)
        .map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))
}

/// Owner, mode, extended attributes and time of modification, in an order in which none undoes another.
fn set_attributes(layer: &OwnedFd, name: &[u8], stat: &Stat, into: &OwnedFd) -> Result<(), Failed> {
    let set = || -> Result<(), Errno> {
        let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
        chownat(into, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if kind(stat) != FileType::Symlink {
            chmodat(into, name, Mode::from_raw_mode(stat.st_mode & 0o7777), AtFlags::empty())?;
        }
        Ok(())
    };
    set().map_err(Failed::at(name))?;
    copy_xattrs(layer.as_fd(), name, into.as_fd())?;
    let modified = Timespec { tv_sec: stat.st_mtime, tv_nsec: stat.st_mtime_nsec as _ };
    let times = Timestamps { last_access: modified, last_modification: modified };
    utimensat(into, name, &times, AtFlags::SYMLINK_NOFOLLOW).map_err(Failed::at(name))
}

fn copy_xattrs(layer: BorrowedFd<'_>, name: &[u8], into: BorrowedFd<'_>) -> Result<(), Failed> {
    for (attribute, value) in xattrs(&proc_path(layer, name))? {
        lsetxattr(proc_path(into, name), &attribute, &value, XattrFlags::empty())
            .map_err(Failed::at(name))?;
    }
    Ok(())
}
