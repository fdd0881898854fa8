//! Whether trees can become one: no two have the same file.

use std::collections::HashSet;
use std::ffi::OsStr;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, statat};

use super::ImageError;
use super::local::{names, open_directory};

/// Looks at the names of all trees before anything of them is copied.
///
/// # Errors
///
/// [`ImageError::Conflict`] with the first file that two of them have.
pub(super) fn check(trees: &[BorrowedFd<'_>]) -> Result<(), ImageError> {
    let mut seen = HashSet::new();
    for tree in trees {
        let root = open_directory(tree, c".").map_err(|error| unreadable(Path::new(""), error))?;
        visit(&root, Path::new(""), &mut seen)?;
    }
    Ok(())
}

fn visit(directory: &OwnedFd, path: &Path, seen: &mut HashSet<PathBuf>) -> Result<(), ImageError> {
    for name in names(directory).map_err(|error| unreadable(path, error))? {
        let path = path.join(OsStr::from_bytes(name.to_bytes()));
        let stat = statat(directory, &name, AtFlags::SYMLINK_NOFOLLOW);
        let stat = stat.map_err(|error| unreadable(&path, error))?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
            let below = open_directory(directory.as_fd(), &name).map_err(|error| unreadable(&path, error))?;
            visit(&below, &path, seen)?;
        } else if !seen.insert(path.clone()) {
            return Err(ImageError::Conflict { path });
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: rustix::io::Errno) -> ImageError {
    ImageError::Read { path: path.to_owned(), source: error.into() }
}
