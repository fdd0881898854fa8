//! What a container has changed in the files of its image.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io;
use std::ops::Bound;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use cache::layer::{EntryKind, LayerEntry, WriteError};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, ResolveFlags, openat2, statat};

use super::error::ContainerError;
use super::home::{self, Home};
use crate::Engine;
use crate::images::ChangeKind;

/// How often to look at files that a container removes while they are looked at.
const ATTEMPTS_MAX: u32 = 16;

/// One path that has changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// From the root of the container.
    pub path: PathBuf,
    /// How.
    pub kind: ChangeKind,
}

impl Engine {
    /// What a container has changed, in the order of the paths.
    ///
    /// # Errors
    ///
    /// That there is no such container; that its files were copied, since this kernel does not stack layers.
    pub fn container_changes(&self, name: &str) -> Result<Vec<Change>, ContainerError> {
        let home = self.home(name)?;
        require_layers(&home)?;
        let upper = open_upper(&home)?;
        let config = home.config()?;
        let view = self.store.view(&super::start::layers(&config))?;
        let mut attempts = 1;
        let mut changes = loop {
            match changes(upper.as_fd(), view.root()) {
                // It was there, and then it was not.
                Err(WriteError::Layer { source, .. })
                    if source.kind() == io::ErrorKind::NotFound && attempts < ATTEMPTS_MAX =>
                {
                    attempts += 1;
                }
                result => break result.map_err(|error| unreadable(&home, error))?,
            }
        };
        let targets = config.mounts.iter().map(|request| request.target.trim_start_matches('/'));
        let devices = config.settings.devices.iter().map(|device| device.target.trim_start_matches('/'));
        let targets = targets.chain(devices);
        forget_stubs(&mut changes, &targets.collect::<Vec<_>>());
        let change = |(path, kind)| Change { path: Path::new("/").join(path), kind };
        Ok(changes.into_iter().map(change).collect())
    }
}

/// Refuses a container whose files are a copy: what it has changed cannot be told from what it had.
pub(super) fn require_layers(home: &Home) -> Result<(), ContainerError> {
    if home.path.join(super::start::COPIED).exists() {
        let problem = "has its files in a copy, so that nobody knows what it has changed".to_owned();
        return Err(ContainerError::WrongState { id: home.id.clone(), problem });
    }
    Ok(())
}

/// The directory with what a container has changed.
pub(super) fn open_upper(home: &Home) -> Result<OwnedFd, ContainerError> {
    let upper = home.upper();
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(&upper, flags, Mode::empty()).map_err(|error| home::file(&upper, error.into()))
}

/// What a container has changed cannot be read.
pub(super) fn unreadable(home: &Home, error: WriteError) -> ContainerError {
    home::file(&home.upper(), io::Error::other(error))
}

fn changes(
    upper: BorrowedFd<'_>,
    image: BorrowedFd<'_>,
) -> Result<BTreeMap<PathBuf, ChangeKind>, WriteError> {
    let mut changes = BTreeMap::new();
    let mut replaced = Vec::new();
    cache::layer::contents(upper, &mut |LayerEntry { path, kind, .. }| {
        let path = PathBuf::from(OsStr::from_bytes(&path));
        let was = kind_below(image, &path);
        if kind == (EntryKind::Directory { is_opaque: true }) && was == Some(FileType::Directory) {
            replaced.push(path.clone());
        }
        let kind = match (kind, was) {
            (EntryKind::Removal, _) => ChangeKind::Removed,
            (_, Some(_)) => ChangeKind::Changed,
            (_, None) => ChangeKind::Added,
        };
        if path != Path::new("") {
            changes.insert(path, kind);
        }
    })?;
    for directory in replaced {
        for path in below(image, &directory) {
            changes.entry(path).or_insert(ChangeKind::Removed);
        }
    }
    Ok(changes)
}

/// What was made so that something could be mounted on it goes with the mount: nobody has changed anything.
fn forget_stubs(changes: &mut BTreeMap<PathBuf, ChangeKind>, targets: &[&str]) {
    let is_stub = |path: &Path| targets.iter().any(|target| Path::new(target).starts_with(path));
    let added = changes.iter().filter(|(path, kind)| **kind == ChangeKind::Added && is_stub(path));
    let stubs: Vec<PathBuf> = added.map(|(path, _)| path.clone()).collect();
    // Deepest first: what has something else in it is no stub.
    for path in stubs.into_iter().rev() {
        let next = changes.range::<Path, _>((Bound::Excluded(path.as_path()), Bound::Unbounded)).next();
        if next.is_none_or(|(next, _)| !next.starts_with(&path)) {
            changes.remove(&path);
        }
    }
}

/// A directory of the image, without following a link.
fn open_below(image: BorrowedFd<'_>, path: &Path, flags: OFlags) -> Option<OwnedFd> {
    let path = if path.as_os_str().is_empty() { Path::new(".") } else { path };
    let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    openat2(image, path, flags | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty(), how).ok()
}

/// What the image has at a path.
fn kind_below(image: BorrowedFd<'_>, path: &Path) -> Option<FileType> {
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Some(FileType::Directory);
    };
    let parent = open_below(image, parent, OFlags::PATH)?;
    let stat = statat(parent.as_fd(), name, AtFlags::SYMLINK_NOFOLLOW).ok()?;
    Some(FileType::from_raw_mode(stat.st_mode))
}

/// What the image has in a directory.
fn below(image: BorrowedFd<'_>, path: &Path) -> Vec<PathBuf> {
    let entries = open_below(image, path, OFlags::RDONLY).and_then(|directory| Dir::new(directory).ok());
    let names = entries.into_iter().flatten().flatten().map(|entry| entry.file_name().to_bytes().to_vec());
    let names = names.filter(|name| name != b"." && name != b"..");
    names.map(|name| path.join(OsStr::from_bytes(&name))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubs_are_no_changes_unless_something_is_in_them() {
        let paths = ["a", "a/b", "a/b/c", "d", "d/e", "d/own", "f"];
        let mut changes: BTreeMap<PathBuf, ChangeKind> =
            paths.iter().map(|path| (PathBuf::from(path), ChangeKind::Added)).collect();
        forget_stubs(&mut changes, &["a/b/c", "d/e", "fx"]);
        let left: Vec<&str> = changes.keys().filter_map(|path| path.to_str()).collect();
        assert_eq!(left, ["d", "d/own", "f"]);
    }
}
