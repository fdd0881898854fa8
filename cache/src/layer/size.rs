//! How many bytes the files of a layer have.

use std::collections::HashSet;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, RawDir};

use super::descriptors::open_directory;
use super::read::text;
use super::write::WriteError;

const NAMES_BUFFER_BYTES: usize = 32 << 10;

/// Bytes of all regular files; hard links count once. Only looks at the files' sizes.
pub(crate) fn size_bytes(layer: BorrowedFd<'_>) -> Result<u64, WriteError> {
    let mut total = 0;
    let mut seen = HashSet::new();
    let mut pending = vec![Vec::new()];
    while let Some(path) = pending.pop() {
        let failed =
            |source: rustix::io::Errno| WriteError::Layer { path: text(&path), source: source.into() };
        let directory: OwnedFd = open_directory(layer, &path).map_err(failed)?;
        let mut buffer = [MaybeUninit::uninit(); NAMES_BUFFER_BYTES];
        let mut entries = RawDir::new(directory.as_fd(), &mut buffer);
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(failed)?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let mut kind = entry.file_type();
            if matches!(kind, FileType::RegularFile | FileType::Unknown) {
                let stat = rustix::fs::statat(&directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
                kind = FileType::from_raw_mode(stat.st_mode);
                let is_new = stat.st_nlink < 2 || seen.insert((stat.st_dev, stat.st_ino));
                if kind == FileType::RegularFile && is_new {
                    total += stat.st_size as u64;
                }
            }
            if kind == FileType::Directory {
                let separator: &[u8] = if path.is_empty() { b"" } else { b"/" };
                pending.push([&path, separator, name.to_bytes()].concat());
            }
        }
    }
    Ok(total)
}
