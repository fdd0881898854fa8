//! Makes the changes that lead from one tree to another, on top of a third.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::Read;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::fs::{FileType, OFlags};

use super::build::Copied;
use super::copy::Copier;
use super::source::{Found, Source, join};
use super::{Landing, Selection, TreeError};
use crate::layer::assembly::{Assembly, Existing, NodeId, ROOT};
use crate::layer::attributes::{PERMISSION_BITS, Xattr, is_overlay_xattr};
use crate::layer::descriptors::open_beneath;
use crate::layer::read::text;
use crate::layer::xattr;

/// Bytes that are compared at a time.
const BLOCK_BYTES: usize = 128 << 10;

/// Puts what `to` has and `from` has not, or otherwise, into the layer, and removes what only `from` has. Files are the
/// same when kind, mode, owner, size, time, link target and extended attributes are, and their bytes where their time
/// has no fraction of a second: it may be one that somebody has set. Times of directories do not count.
pub(super) fn change(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    assembly: &mut Assembly<'_, '_>,
    copied: &mut Copied,
) -> Result<(), TreeError> {
    let landing = Landing { replaces: true, ..Landing::default() };
    let selection = Selection { source: Source::Directory(to), landing, items: Vec::new() };
    let copier = Copier::new(&selection, "/", None, assembly, copied);
    Change { from: Source::Directory(from), to: Source::Directory(to), copier }.directory(b"")
}

struct Change<'t, 'c, 'l, 'p> {
    from: Source<'t>,
    to: Source<'t>,
    copier: Copier<'c, 't, 'l, 'p>,
}

impl<'t> Change<'t, '_, '_, '_> {
    /// Compares what is in a directory of both trees.
    fn directory(&mut self, path: &[u8]) -> Result<(), TreeError> {
        let (before, after) = (self.from.children(path)?, self.to.children(path)?);
        let is_in =
            |found: &[Found<'_>], name: &[u8]| found.binary_search_by(|it| (*it.name).cmp(name)).is_ok();
        for gone in before.iter().filter(|it| !is_in(&after, &it.name)) {
            if let Some(parent) = self.known(path)? {
                self.copier.assembly.remove_name(parent, &gone.name)?;
            }
        }
        for found in after.iter().filter(|found| found.stat.kind() != FileType::Socket) {
            let below = join(path, &found.name);
            let old = before.binary_search_by(|it| it.name.cmp(&found.name)).ok().map(|at| &before[at]);
            if old.is_none_or(|old| old.is_directory() != found.is_directory()) {
                self.put(path, &below, found)?;
                continue;
            }
            let old = old.expect("just looked");
            if !self.is_same(&below, old, found)? {
                let parent = self.parent(path)?;
                self.copier.copy_one(parent, &found.name, &below, found)?;
            }
            if found.is_directory() {
                self.directory(&below)?;
            }
        }
        Ok(())
    }

    /// Something new, with all that is in it.
    fn put(&mut self, path: &[u8], below: &[u8], found: &Found<'t>) -> Result<(), TreeError> {
        let parent = self.parent(path)?;
        if self.copier.copy_one(parent, &found.name, below, found)?.is_some() {
            for child in self.to.children(below)? {
                if child.stat.kind() != FileType::Socket {
                    self.put(below, &join(below, &child.name), &child)?;
                }
            }
        }
        Ok(())
    }

    /// The directory of the layer at a path, if it has one.
    fn known(&mut self, path: &[u8]) -> Result<Option<NodeId>, TreeError> {
        let mut at = ROOT;
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            match self.copier.assembly.existing(at, name)? {
                Some(Existing::Directory(next)) => at = next,
                _ => return Ok(None),
            }
        }
        Ok(Some(at))
    }

    /// The directory of the layer at a path, which becomes what the tree after has where there is none.
    fn parent(&mut self, path: &[u8]) -> Result<NodeId, TreeError> {
        let (mut at, mut reached) = (ROOT, Vec::new());
        for name in path.split(|byte| *byte == b'/').filter(|name| !name.is_empty()) {
            reached = join(&reached, name);
            at = match self.copier.assembly.existing(at, name)? {
                Some(Existing::Directory(next)) => next,
                _ => {
                    let missing = || TreeError::read(&reached, rustix::io::Errno::NOENT);
                    let found = self.to.look_up(&reached)?.ok_or_else(missing)?;
                    let made = self.copier.copy_one(at, name, &reached, &found)?;
                    made.ok_or_else(missing)?
                }
            };
        }
        Ok(at)
    }

    fn is_same(&self, path: &[u8], old: &Found<'_>, new: &Found<'_>) -> Result<bool, TreeError> {
        let (one, other) = (&old.stat, &new.stat);
        let kind = one.kind();
        let what =
            |it: &crate::FileStat| (it.kind(), it.mode & PERMISSION_BITS, it.uid, it.gid, it.special_device);
        if what(one) != what(other) || old.target != new.target {
            return Ok(false);
        }
        let is_file = kind == FileType::RegularFile;
        if is_file && (one.size_bytes, one.modified) != (other.size_bytes, other.modified) {
            return Ok(false);
        }
        if !is_file && kind != FileType::Directory {
            return Ok(true);
        }
        let failed = |error| TreeError::read(path, error);
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW;
        let open = |root| open_beneath(root, path, flags).map_err(failed);
        let (one, other) = (open(self.from.root())?, open(self.to.root())?);
        if attributes(&one, path)? != attributes(&other, path)? {
            return Ok(false);
        }
        match is_file && new.stat.modified.nanoseconds == 0 {
            true => is_equal(File::from(one), File::from(other))
                .map_err(|error| TreeError::Read { path: text(path), source: error }),
            false => Ok(true),
        }
    }
}

fn attributes(file: &OwnedFd, path: &[u8]) -> Result<BTreeSet<Xattr>, TreeError> {
    let mut found = xattr::of_descriptor(file.as_fd()).map_err(|error| TreeError::read(path, error))?;
    found.retain(|(name, _)| !is_overlay_xattr(name));
    Ok(found.into_iter().collect())
}

/// Whether two files of one size have the same bytes.
fn is_equal(mut one: File, mut other: File) -> std::io::Result<bool> {
    let (mut left, mut right) = (vec![0; BLOCK_BYTES], vec![0; BLOCK_BYTES]);
    loop {
        let count = one.read(&mut left)?;
        if count == 0 {
            return Ok(true);
        }
        // A file that became shorter is another one.
        if other.read_exact(&mut right[..count]).is_err() || left[..count] != right[..count] {
            return Ok(false);
        }
    }
}
