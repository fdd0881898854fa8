//! Volumes and directories of the host of a container that does not run.

use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use executor::Mount;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::mount::{OpenTreeFlags, open_tree};

use super::error::CopyError;
use super::root::{Access, is_mounted_later};

/// What is mounted on `target` while the container runs, attached nowhere: its root is the root of its paths. `path` is
/// what is wanted of it.
pub(super) fn mounted(
    mounts: &[Mount],
    target: &Path,
    path: &Path,
    access: Access,
) -> Result<OwnedFd, CopyError> {
    let found = mounts.iter().find_map(|mount| match mount {
        Mount::Bind { source, subpath, target: other, read_only, .. } if Path::new(other) == target => {
            Some((source, subpath, *read_only))
        }
        _ => None,
    });
    let Some((source, subpath, read_only)) = found.filter(|(source, ..)| source.is_dir()) else {
        return Err(is_mounted_later(path, target));
    };
    if read_only && access == Access::Write {
        return Err(CopyError::Refused("mounted volume is marked read-only".to_owned()));
    }
    detached(source, subpath)
}

/// Something that is mounted beneath a directory while the container runs: a directory, or a file in one.
pub(super) struct Mounted {
    /// Where, from that directory.
    pub(super) path: PathBuf,
    pub(super) directory: OwnedFd,
    /// In the directory.
    pub(super) name: OsString,
}

impl Mounted {
    pub(super) fn new(path: &Path, source: &Path, subpath: &str) -> Result<Self, CopyError> {
        let path = path.to_owned();
        match (source.parent(), source.file_name()) {
            (Some(parent), Some(name)) if subpath.is_empty() && !source.is_dir() => {
                let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                let directory = openat(CWD, parent, flags, Mode::empty()).map_err(CopyError::call(source))?;
                Ok(Self { path, directory, name: name.to_owned() })
            }
            _ => Ok(Self { path, directory: detached(source, subpath)?, name: OsString::from(".") }),
        }
    }
}

/// A mount of a directory, or of one beneath it.
pub(super) fn detached(source: &Path, subpath: &str) -> Result<OwnedFd, CopyError> {
    let call = || CopyError::call(source);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = openat(CWD, source, flags, Mode::empty()).map_err(call())?;
    let subpath = if subpath.is_empty() { "." } else { subpath };
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_MAGICLINKS;
    let directory = openat2(&directory, subpath, flags, Mode::empty(), how).map_err(call())?;
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let whole = clone | OpenTreeFlags::AT_EMPTY_PATH | OpenTreeFlags::AT_RECURSIVE;
    open_tree(&directory, "", whole).map_err(call())
}
