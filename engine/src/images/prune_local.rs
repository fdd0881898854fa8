//! Removes from a directory of the host what an export did not put there.

use std::collections::HashSet;
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, FileType, statat, unlinkat};

use super::ImageError;
use super::local::{names, open_directory};

/// Directories within directories, as for the copy; deeper ones are none of ours.
const DEPTH_MAX: usize = 400;

/// Says whether everything else in a directory may be deleted: a root, or what the caller stands in, may not.
///
/// # Errors
///
/// [`ImageError::DeleteHere`].
pub(super) fn check(directory: &Path) -> Result<(), ImageError> {
    let refused = || ImageError::DeleteHere { path: directory.to_owned() };
    let Ok(whole) = directory.canonicalize() else { return Ok(()) };
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    let home = std::env::var_os("HOME").map(PathBuf::from).and_then(|home| home.canonicalize().ok());
    let is_around = |other: PathBuf| other.starts_with(&whole);
    if whole.parent().is_none() || here.is_ok_and(is_around) || home.is_some_and(is_around) {
        return Err(refused());
    }
    Ok(())
}

/// Removes everything beneath `root` that `kept` does not name, by paths from the root. No symbolic link is followed.
///
/// # Errors
///
/// [`ImageError::Write`] with what the kernel said.
pub(super) fn prune(root: BorrowedFd<'_>, place: &Path, kept: &HashSet<PathBuf>) -> Result<(), ImageError> {
    let root = open_directory(root, c".").map_err(|error| failed(place, error.into()))?;
    Prune { place, kept }.directory(&root, Path::new(""), 0)
}

struct Prune<'a> {
    place: &'a Path,
    kept: &'a HashSet<PathBuf>,
}

impl Prune<'_> {
    fn directory(&self, directory: &OwnedFd, path: &Path, depth: usize) -> Result<(), ImageError> {
        let failed = |path: &Path, error: io::Error| failed(&self.place.join(path), error);
        if depth > DEPTH_MAX {
            return Err(failed(path, io::Error::other(format!("more than {DEPTH_MAX} directories deep"))));
        }
        for name in names(directory).map_err(|error| failed(path, error.into()))? {
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            self.entry(directory, &name, &path, depth)?;
        }
        Ok(())
    }

    fn entry(&self, parent: &OwnedFd, name: &CStr, path: &Path, depth: usize) -> Result<(), ImageError> {
        let failed = |error: rustix::io::Errno| failed(&self.place.join(path), error.into());
        let stat = statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let is_directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
        let is_kept = self.kept.contains(path);
        if is_directory {
            let directory = open_directory(parent.as_fd(), name).map_err(failed)?;
            self.directory(&directory, path, depth + 1)?;
        }
        match (is_kept, is_directory) {
            (true, _) => Ok(()),
            (false, true) => unlinkat(parent, name, AtFlags::REMOVEDIR).map_err(failed),
            (false, false) => unlinkat(parent, name, AtFlags::empty()).map_err(failed),
        }
    }
}

fn failed(path: &Path, source: io::Error) -> ImageError {
    ImageError::Write { path: path.to_owned(), source }
}
