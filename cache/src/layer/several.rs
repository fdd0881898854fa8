//! Writes several trees as one tar, each in a directory of its own.

use std::io::Write;
use std::os::fd::BorrowedFd;

use super::header::Header;
use super::walk::{Found, FoundKind};
use super::write::{TarOutput, WriteError, each_batch, write_one};

/// Of the directories that hold the trees.
const DIRECTORY_MODE: u32 = 0o755;

/// One of several trees.
#[derive(Debug, Clone)]
pub struct Tree<'a> {
    /// The directory of the tar in which it is: one name.
    pub directory: String,
    /// The tree.
    pub root: BorrowedFd<'a>,
    /// No time is later, in seconds since the epoch; see [`write_tar`](super::write_tar).
    pub clamp_mtime: Option<i64>,
}

/// Writes a tar of all trees, in their order; for the rest see [`write_tar`](super::write_tar).
///
/// # Errors
///
/// Those of [`write_tar`](super::write_tar).
pub fn write_trees(trees: &[Tree<'_>], to: &mut dyn Write) -> Result<(), WriteError> {
    let mut to = TarOutput::new(to, None);
    for Tree { directory, root, clamp_mtime } in trees {
        to.clamp(*clamp_mtime);
        let path = format!("{directory}/");
        to.header(&directory_header(path.as_bytes(), clamp_mtime.unwrap_or(0)));
        let mut write = |found| write_one(beneath(path.as_bytes(), found), &mut [&mut to]);
        each_batch((*root).into(), |batch| batch.into_iter().try_for_each(&mut write))?;
    }
    to.end()
}

fn directory_header(path: &[u8], mtime_seconds: i64) -> Header<'_> {
    Header {
        path,
        link: b"",
        type_flag: b'5',
        mode: DIRECTORY_MODE,
        uid: 0,
        gid: 0,
        size: 0,
        mtime_seconds,
        device: None,
        xattrs: &[],
    }
}

fn beneath(directory: &[u8], found: Found) -> Found {
    let moved = |path: Vec<u8>| [directory, path.as_slice()].concat();
    let kind = match found.kind {
        FoundKind::HardLink { first } => FoundKind::HardLink { first: moved(first) },
        kind => kind,
    };
    Found { path: moved(found.path), kind, ..found }
}
