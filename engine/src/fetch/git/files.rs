//! The files of a commit, from git's hands into a layer.

use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{
    AtFlags, CWD, Mode, OFlags, ResolveFlags, Timespec, Timestamps, chmodat, openat, openat2, renameat,
    utimensat,
};
use rustix::io::Errno;

/// Permissions, as git knows them: everything else is the umask of whoever ran it.
const DIRECTORY_MODE: u32 = 0o755;
const FILE_MODE: u32 = 0o644;
const EXECUTABLE: u32 = 0o111;

/// A directory of a tree, if it can be reached without links.
pub(super) fn directory_beneath(tree: &Path, path: &str) -> io::Result<PathBuf> {
    open_beneath(tree, path)?;
    Ok(tree.join(path))
}

fn open_beneath(tree: &Path, path: &str) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = openat(CWD, tree, flags, Mode::empty())?;
    let path = if path.is_empty() { "." } else { path };
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    Ok(openat2(&root, path, flags | OFlags::NOFOLLOW, Mode::empty(), resolve)?)
}

/// Whether an error says that there is no such directory.
pub(super) fn is_missing(error: &io::Error) -> bool {
    let missing = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::XDEV, Errno::NAMETOOLONG];
    error.raw_os_error().is_some_and(|code| missing.iter().any(|errno| errno.raw_os_error() == code))
}

/// Moves a directory of `tree` to `layer`, an empty directory: with the permissions that git knows, and the time of
/// the commit, so that the same commit gives the same layer; without one, the times are those of the checkout.
pub(super) fn settle(
    tree: &Path,
    subdirectory: &str,
    layer: &Path,
    time_unix_s: Option<i64>,
) -> io::Result<()> {
    let from = directory_beneath(tree, subdirectory)?;
    renameat(CWD, from, CWD, layer)?;
    let times = time_unix_s.map(|seconds| {
        let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
        Timestamps { last_access: time, last_modification: time }
    });
    // What is in a directory first: a change in it would be its time.
    for entry in walkdir::WalkDir::new(layer).contents_first(true) {
        let entry = entry?;
        let kind = entry.file_type();
        if !kind.is_symlink() {
            let is_executable = kind.is_dir() || mode(&entry)? & EXECUTABLE != 0;
            let mode = if is_executable { DIRECTORY_MODE } else { FILE_MODE };
            chmodat(CWD, entry.path(), Mode::from_raw_mode(mode), AtFlags::empty())?;
        }
        if let Some(times) = &times {
            utimensat(CWD, entry.path(), times, AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    Ok(())
}

fn mode(entry: &walkdir::DirEntry) -> io::Result<u32> {
    use std::os::unix::fs::MetadataExt as _;
    Ok(entry.metadata()?.mode())
}
