//! Removes from a copy what is as it was copied. What stays is the upper directory that an overlay would have.

use std::collections::{BTreeSet, HashSet};
use std::os::fd::OwnedFd;

use rustix::fs::{
    AtFlags, FileType, Mode, Stat, Timespec, Timestamps, XattrFlags, futimens, lremovexattr, lsetxattr,
    mknodat, unlinkat,
};

use super::node::{
    Failed, Identity, Known, KnownFile, OPAQUE_XATTR, birth, is_whiteout, kind, look, names, open_directory,
    proc_path,
};
use crate::layer::attributes::is_overlay_xattr;
use crate::layer::xattr;

/// Removes what is known and unchanged beneath `root`, and marks what is gone.
pub(super) fn prune(root: &OwnedFd, known: &Known) -> Result<(), Failed> {
    Prune { unchanged: HashSet::new() }.directory(root, known)
}

struct Prune {
    /// Files that were found unchanged by one name: removing that changes them.
    unchanged: HashSet<u64>,
}

impl Prune {
    fn directory(&mut self, directory: &OwnedFd, known: &Known) -> Result<(), Failed> {
        let found: BTreeSet<_> = names(directory)?.into_iter().collect();
        for name in &found {
            let Some(stat) = look(directory, name)? else { continue };
            self.entry(directory, name, &stat, known.get(name))?;
        }
        for name in known.keys().filter(|name| !found.contains(*name)) {
            mknodat(directory, name, FileType::CharacterDevice, Mode::empty(), 0)
                .map_err(Failed::at(name))?;
        }
        Ok(())
    }

    fn entry(
        &mut self,
        directory: &OwnedFd,
        name: &[u8],
        stat: &Stat,
        known: Option<&KnownFile>,
    ) -> Result<(), Failed> {
        if kind(stat) == FileType::Directory {
            return self.sub_directory(directory, name, stat, known);
        }
        let same = known.filter(|known| known.children.is_none());
        if same.is_some_and(|known| self.is_unchanged(known, stat)) {
            return unlinkat(directory, name, AtFlags::empty()).map_err(Failed::at(name));
        }
        if is_whiteout(stat) {
            // The command made one. To an overlay it means that a file is gone, which is what became of one with that name.
            return match known {
                Some(_) => Ok(()),
                None => unlinkat(directory, name, AtFlags::empty()).map_err(Failed::at(name)),
            };
        }
        strip(directory, name)
    }

    fn is_unchanged(&mut self, known: &KnownFile, stat: &Stat) -> bool {
        if known.identity == Identity::of(stat) {
            self.unchanged.insert(stat.st_ino);
        }
        known.identity.inode == stat.st_ino && self.unchanged.contains(&stat.st_ino)
    }

    fn sub_directory(
        &mut self,
        directory: &OwnedFd,
        name: &[u8],
        stat: &Stat,
        known: Option<&KnownFile>,
    ) -> Result<(), Failed> {
        let nothing = Known::new();
        let open = open_directory(directory, name)?;
        let before = known.filter(|known| known.children.is_some());
        let born = birth(directory, name)?;
        let same = before.filter(|known| known.identity.inode == stat.st_ino && known.born == born);
        self.directory(&open, same.and_then(|known| known.children.as_ref()).unwrap_or(&nothing))?;
        if same.is_some_and(|known| known.identity == Identity::of(stat)) && names(&open)?.is_empty() {
            return unlinkat(directory, name, AtFlags::REMOVEDIR).map_err(Failed::at(name));
        }
        strip(directory, name)?;
        if before.is_some() && same.is_none() {
            // Another directory of that name: nothing of the old one shows through.
            lsetxattr(proc_path(directory, name), OPAQUE_XATTR, b"y", XattrFlags::empty())
                .map_err(Failed::at(name))?;
        }
        // What was removed from it has changed its time.
        let time = |seconds, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds as _ };
        let times = Timestamps {
            last_access: time(stat.st_atime, stat.st_atime_nsec),
            last_modification: time(stat.st_mtime, stat.st_mtime_nsec),
        };
        futimens(&open, &times).map_err(Failed::at(name))
    }
}

/// Takes away what the command wrote to mislead overlayfs.
fn strip(directory: &OwnedFd, name: &[u8]) -> Result<(), Failed> {
    let path = proc_path(directory, name);
    let found = xattr::of_path(&path).map_err(Failed::at(name))?;
    for (attribute, _) in found.iter().filter(|(attribute, _)| is_overlay_xattr(attribute)) {
        lremovexattr(&*path, attribute.as_slice()).map_err(Failed::at(name))?;
    }
    Ok(())
}
