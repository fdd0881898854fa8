//! What a look at a context found: a sorted tree.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Component, Path, PathBuf};
use std::sync::{Arc, Mutex};

use image::Digest;
use rustix::fs::FileType;

use super::hash::Learned;
use super::index::Index;
use super::stat::FileStat;
use crate::Store;

/// The root directory's number.
pub(super) const ROOT: u32 = 0;

/// A directory of the context, by what it contains.
#[derive(Default)]
pub(super) struct Directory {
    /// Relative to the context, without a slash at either end; empty for the root.
    pub(super) path: Vec<u8>,
    /// Sorted by name.
    pub(super) entries: Vec<Entry>,
    /// Bytes of all names and link targets.
    pub(super) names: Vec<u8>,
    /// Nodes of the index for children that the filter excludes: still of use under another filter.
    pub(super) excluded: Vec<u32>,
}

/// Where some bytes are among a directory's `names`.
#[derive(Clone, Copy, Default)]
pub(super) struct Span {
    start: u32,
    length: u32,
}

impl Span {
    fn of(self, bytes: &[u8]) -> &[u8] {
        &bytes[self.start as usize..][..self.length as usize]
    }
}

pub(super) struct Entry {
    pub(super) stat: FileStat,
    name: Span,
    pub(super) target: Span,
    /// A directory's number.
    pub(super) child: u32,
    /// A directory that is only there for the sake of what is in it.
    pub(super) is_only_descended: bool,
    /// What the index knows.
    pub(super) digest: Option<Digest>,
}

impl Entry {
    pub(super) fn new(stat: FileStat, name: Span) -> Self {
        Self { stat, name, target: Span::default(), child: 0, is_only_descended: false, digest: None }
    }

    pub(super) fn name<'a>(&self, names: &'a [u8]) -> &'a [u8] {
        self.name.of(names)
    }

    fn directory(&self) -> Option<u32> {
        (self.stat.kind() == FileType::Directory).then_some(self.child)
    }
}

impl Directory {
    pub(super) fn put_name(&mut self, bytes: &[u8]) -> Span {
        let start = u32::try_from(self.names.len()).expect("the names of one directory take less than 4 GiB");
        self.names.extend_from_slice(bytes);
        let length = u32::try_from(bytes.len()).expect("names and link targets have at most 4096 bytes");
        Span { start, length }
    }

    pub(super) fn sort(&mut self) {
        let Self { entries, names, .. } = self;
        entries.sort_unstable_by(|one, other| one.name(names).cmp(other.name(names)));
        self.excluded.sort_unstable();
    }
}

/// Names a file, directory or link of a [`ContextTree`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) directory: u32,
    pub(super) at: u32,
}

/// A context as it was at one moment, without what the filter excludes.
pub struct ContextTree {
    pub(super) store: Store,
    /// Name of the index file in the store.
    pub(super) index_name: String,
    pub(super) index: Index,
    pub(super) root: Arc<OwnedFd>,
    pub(super) directories: Vec<Directory>,
    /// Digests that were computed since.
    pub(super) learned: Mutex<HashMap<Place, Learned>>,
}

impl std::fmt::Debug for ContextTree {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ContextTree").field("directories", &self.directories.len()).finish_non_exhaustive()
    }
}

/// Something in a context.
#[derive(Clone, Copy)]
pub struct ContextEntry<'a> {
    tree: &'a ContextTree,
    pub(super) place: Place,
}

impl ContextTree {
    /// The context's root directory.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// What there is at `path`, which is relative to the context; links in it are not followed. `None` when
    /// there is nothing, or the filter excludes it. The root itself is no entry.
    pub fn entry(&self, path: &Path) -> Option<ContextEntry<'_>> {
        let mut directory = Some(ROOT);
        let mut found = None;
        for component in path.components() {
            let name = match component {
                Component::Normal(name) => name.as_bytes(),
                Component::CurDir | Component::RootDir => continue,
                Component::ParentDir | Component::Prefix(_) => return None,
            };
            let number = directory?;
            let Directory { entries, names, .. } = &self.directories[number as usize];
            let at = entries.binary_search_by(|entry| entry.name(names).cmp(name)).ok()?;
            directory = entries[at].directory();
            found = Some(self.at(Place { directory: number, at: index(at) }));
        }
        found
    }

    /// Everything, sorted by the names on the way: a directory comes before what is in it, and what is in it
    /// comes before what follows the directory.
    pub fn entries(&self) -> ContextEntries<'_> {
        ContextEntries { tree: self, open: vec![(ROOT, 0)] }
    }

    /// What is directly in the root directory, sorted by name.
    pub fn children(&self) -> impl Iterator<Item = ContextEntry<'_>> {
        let count = self.directories[ROOT as usize].entries.len();
        (0..count).map(|at| self.at(Place { directory: ROOT, at: index(at) }))
    }

    /// How many entries there are.
    pub fn len(&self) -> usize {
        self.directories.iter().map(|directory| directory.entries.len()).sum()
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.directories[ROOT as usize].entries.is_empty()
    }

    pub(super) fn at(&self, place: Place) -> ContextEntry<'_> {
        ContextEntry { tree: self, place }
    }

    /// Drops directories that are only there for the sake of what is in them, and have nothing in them.
    pub(super) fn prune(&mut self) {
        // A child has a higher number than its parent, so it is settled first.
        for number in (0..self.directories.len()).rev() {
            let mut entries = std::mem::take(&mut self.directories[number].entries);
            entries.retain(|entry| {
                !entry.is_only_descended || !self.directories[entry.child as usize].entries.is_empty()
            });
            self.directories[number].entries = entries;
        }
    }
}

impl<'a> ContextEntry<'a> {
    /// Path relative to the context.
    pub fn path(&self) -> PathBuf {
        let (directory, name) = (&self.directory().path, self.name().as_bytes());
        let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
        path.extend_from_slice(directory);
        if !directory.is_empty() {
            path.push(b'/');
        }
        path.extend_from_slice(name);
        PathBuf::from(std::ffi::OsString::from_vec(path))
    }

    /// Last component of the path.
    pub fn name(&self) -> &'a OsStr {
        OsStr::from_bytes(self.entry().name(&self.directory().names))
    }

    /// What the kernel told about it.
    pub fn stat(&self) -> &'a FileStat {
        &self.entry().stat
    }

    /// What kind of file it is.
    pub fn kind(&self) -> FileType {
        self.stat().kind()
    }

    /// Where a symbolic link leads; `None` for everything else.
    pub fn target(&self) -> Option<&'a Path> {
        let target = self.entry().target.of(&self.directory().names);
        (self.kind() == FileType::Symlink).then(|| Path::new(OsStr::from_bytes(target)))
    }

    /// What is directly in a directory, sorted by name.
    pub fn children(&self) -> impl Iterator<Item = ContextEntry<'a>> + use<'a> {
        let tree = self.tree;
        let directory = self.entry().directory();
        let count = directory.map_or(0, |number| tree.directories[number as usize].entries.len());
        (0..count).map(move |at| {
            let directory = directory.expect("only a directory has children");
            tree.at(Place { directory, at: index(at) })
        })
    }

    /// Everything in a directory, in the order of [`ContextTree::entries`]; without the directory itself.
    pub fn entries(&self) -> ContextEntries<'a> {
        let open = self.entry().directory().map(|number| (number, 0));
        ContextEntries { tree: self.tree, open: open.into_iter().collect() }
    }

    fn directory(&self) -> &'a Directory {
        &self.tree.directories[self.place.directory as usize]
    }

    pub(super) fn entry(&self) -> &'a Entry {
        &self.directory().entries[self.place.at as usize]
    }
}

impl std::fmt::Debug for ContextEntry<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("ContextEntry").field(&self.path()).finish()
    }
}

/// Entries of a context, depth first.
#[derive(Debug)]
pub struct ContextEntries<'a> {
    tree: &'a ContextTree,
    /// The directories on the way, with the next entry of each.
    open: Vec<(u32, u32)>,
}

impl<'a> Iterator for ContextEntries<'a> {
    type Item = ContextEntry<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (directory, at) = self.open.last_mut()?;
            let place = Place { directory: *directory, at: *at };
            let Some(entry) = self.tree.directories[*directory as usize].entries.get(*at as usize) else {
                self.open.pop();
                continue;
            };
            *at += 1;
            self.open.extend(entry.directory().map(|number| (number, 0)));
            return Some(self.tree.at(place));
        }
    }
}

fn index(at: usize) -> u32 {
    u32::try_from(at).expect("a directory has fewer than 2^32 entries")
}
