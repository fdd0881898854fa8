//! A tree that files are taken from.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use rustix::fs::{AtFlags, FileType, OFlags, RawDir, StatxFlags};
use rustix::io::Errno;

use super::TreeError;
use crate::layer::descriptors::{open_beneath, open_directory};
use crate::{ContextEntry, ContextTree, FileStat};

/// Where files are taken from.
#[derive(Debug, Clone, Copy)]
pub enum Source<'a> {
    /// A tree that does not change: the view of a stage or an image.
    Directory(BorrowedFd<'a>),
    /// A build context, as a scan found it. A file that does not look as it did then is an error.
    Context(&'a ContextTree),
}

/// A file of a source tree.
#[derive(Debug, Clone)]
pub(crate) struct Found<'a> {
    pub(crate) name: Cow<'a, [u8]>,
    pub(crate) stat: FileStat,
    /// Where a symlink leads.
    pub(crate) target: Option<Cow<'a, [u8]>>,
    pub(crate) context: Option<ContextEntry<'a>>,
}

impl Found<'_> {
    pub(crate) fn is_directory(&self) -> bool {
        self.stat.kind() == FileType::Directory
    }
}

/// Whether a walk goes into a directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Walk {
    Into,
    Past,
}

/// Called with the path below where the walk began.
pub(crate) type Visit<'v, 'a> = &'v mut dyn FnMut(&[u8], &Found<'a>) -> Result<Walk, TreeError>;

impl<'a> Source<'a> {
    pub(crate) fn root(&self) -> BorrowedFd<'a> {
        match self {
            Self::Directory(root) => *root,
            Self::Context(tree) => tree.root(),
        }
    }

    /// Whether files may change while they are read.
    pub(crate) fn is_changeable(&self) -> bool {
        matches!(self, Self::Context(_))
    }

    /// What is at `path`, a path without symlinks and without slashes at its ends. The root has no name.
    pub(crate) fn look_up(&self, path: &[u8]) -> Result<Option<Found<'a>>, TreeError> {
        match self {
            Self::Context(tree) if !path.is_empty() => {
                Ok(tree.entry(Path::new(OsStr::from_bytes(path))).map(Found::from))
            }
            _ => look_up(self.root(), path),
        }
    }

    /// Visits all that is below a directory: sorted by name, directories before what is in them.
    pub(crate) fn walk(&self, path: &[u8], visit: Visit<'_, 'a>) -> Result<(), TreeError> {
        match self {
            Self::Context(tree) => walk_context(tree, path, visit),
            Self::Directory(root) => walk_directory(*root, path, visit),
        }
    }

    /// What is directly in a directory, sorted by name.
    pub(crate) fn children(&self, path: &[u8]) -> Result<Vec<Found<'a>>, TreeError> {
        match self {
            Self::Directory(root) => read_directory(*root, path),
            Self::Context(_) => {
                let mut children = Vec::new();
                self.walk(path, &mut |_, found| {
                    children.push(found.clone());
                    Ok(Walk::Past)
                })?;
                Ok(children)
            }
        }
    }
}

impl<'a> From<ContextEntry<'a>> for Found<'a> {
    fn from(entry: ContextEntry<'a>) -> Self {
        Self {
            name: Cow::Borrowed(entry.name().as_bytes()),
            stat: *entry.stat(),
            target: entry.target().map(|target| Cow::Borrowed(target.as_os_str().as_bytes())),
            context: Some(entry),
        }
    }
}

fn walk_context<'a>(tree: &'a ContextTree, path: &[u8], visit: Visit<'_, 'a>) -> Result<(), TreeError> {
    let entries = match path.is_empty() {
        true => tree.entries(),
        false => match tree.entry(Path::new(OsStr::from_bytes(path))) {
            Some(top) => top.entries(),
            None => return Ok(()),
        },
    };
    let below_at = if path.is_empty() { 0 } else { path.len() + 1 };
    let mut passed: Option<Vec<u8>> = None;
    for entry in entries {
        let full = entry.path().into_os_string().into_vec();
        let below = &full[below_at..];
        if let Some(passed) = &passed
            && below.strip_prefix(passed.as_slice()).is_some_and(|rest| rest.starts_with(b"/"))
        {
            continue;
        }
        let found = Found::from(entry);
        if visit(below, &found)? == Walk::Past && found.is_directory() {
            passed = Some(below.to_vec());
        }
    }
    Ok(())
}

fn walk_directory<'a>(root: BorrowedFd<'a>, path: &[u8], visit: Visit<'_, 'a>) -> Result<(), TreeError> {
    let mut levels = vec![(Vec::new(), read_directory(root, path)?.into_iter())];
    while let Some((below, children)) = levels.last_mut() {
        let Some(found) = children.next() else {
            levels.pop();
            continue;
        };
        let below = join(below, &found.name);
        if visit(&below, &found)? == Walk::Into && found.is_directory() {
            let children = read_directory(root, &join(path, &below))?.into_iter();
            levels.push((below, children));
        }
    }
    Ok(())
}

pub(crate) fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory.is_empty() {
        true => name.to_vec(),
        false => [directory, b"/", name].concat(),
    }
}

fn look_up<'a>(root: BorrowedFd<'_>, path: &[u8]) -> Result<Option<Found<'a>>, TreeError> {
    let failed = |error: Errno| TreeError::read(path, error);
    let at = if path.is_empty() { b"." } else { path };
    let file = match open_beneath(root, at, OFlags::PATH | OFlags::NOFOLLOW) {
        Err(Errno::NOENT | Errno::NOTDIR | Errno::NAMETOOLONG) => return Ok(None),
        file => file.map_err(failed)?,
    };
    let stat = rustix::fs::statx(&file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map_err(failed)?;
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    found(&file, c"", name, FileStat::from(&stat)).map_err(failed)
}

/// `None` for a whiteout: a single layer is its own view, with its whiteouts in it.
fn found<'a>(
    directory: &OwnedFd,
    at: &std::ffi::CStr,
    name: &[u8],
    stat: FileStat,
) -> rustix::io::Result<Option<Found<'a>>> {
    let target = match stat.kind() {
        FileType::Symlink => {
            Some(Cow::Owned(rustix::fs::readlinkat(directory, at, Vec::new())?.into_bytes()))
        }
        FileType::CharacterDevice if stat.special_device == 0 => return Ok(None),
        _ => None,
    };
    Ok(Some(Found { name: Cow::Owned(name.to_vec()), stat, target, context: None }))
}

const NAMES_BUFFER_BYTES: usize = 32 << 10;

fn read_directory<'a>(root: BorrowedFd<'_>, path: &[u8]) -> Result<Vec<Found<'a>>, TreeError> {
    let failed = |error: Errno| TreeError::read(path, error);
    let directory = open_directory(root, path).map_err(failed)?;
    let mut children = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); NAMES_BUFFER_BYTES];
    let mut entries = RawDir::new(directory.as_fd(), &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let failed = |error: Errno| TreeError::read(&join(path, name.to_bytes()), error);
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        let stat = rustix::fs::statx(&directory, name, flags, StatxFlags::BASIC_STATS).map_err(failed)?;
        children.extend(found(&directory, name, name.to_bytes(), FileStat::from(&stat)).map_err(failed)?);
    }
    children.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    Ok(children)
}
