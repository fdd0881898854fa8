//! Who has a container for itself, and how it goes.

use std::fs::{self, File};
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::{CONTAINERS, GONE, Home, VOLUMES, file};
use crate::Engine;
use crate::containers::error::ContainerError;
use crate::containers::log;
use crate::lines::is_held;

/// The lock of a container. While somebody holds it no monitor starts, and nobody removes it.
#[derive(Debug)]
pub(crate) struct Claim {
    _file: File,
}

/// What is left of a container that is gone. Whoever is killed before it is deleted leaves it to the next one that looks
/// around.
#[derive(Debug)]
pub(crate) struct Retired {
    home: Home,
    name: String,
    path: PathBuf,
    /// Keeps others from deleting it at the same time.
    _claim: Claim,
}

impl Retired {
    /// Whether somebody follows the log and has not read all of it.
    pub(crate) fn is_followed(&self) -> bool {
        is_held(&self.path, log::file_of)
    }

    /// Deletes its name and its files.
    pub(crate) fn delete(self) -> Result<(), ContainerError> {
        self.home.drop_name(&self.name);
        fs::remove_dir_all(&self.path).map_err(|source| file(&self.path, source))
    }
}

impl Home {
    /// The lock of the container, unless somebody has it.
    pub(crate) fn claim(&self) -> Result<Option<Claim>, ContainerError> {
        match lock_file(&self.path) {
            Err(ContainerError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Err(ContainerError::NoSuchContainer { name: self.id.clone() })
            }
            result => result,
        }
    }

    /// Removes the container.
    pub(crate) fn remove(&self, name: &str, claim: Claim) -> Result<(), ContainerError> {
        self.note_volumes(&[]);
        self.retire(name, claim)?.delete()
    }

    /// Makes a container one that was: nobody sees it any more, and its name can be taken. Its files are still there.
    pub(crate) fn retire(&self, name: &str, claim: Claim) -> Result<Retired, ContainerError> {
        let path = self.root.join(CONTAINERS).join(format!("{GONE}{}", self.id));
        fs::rename(&self.path, &path).map_err(|source| file(&self.path, source))?;
        Ok(Retired { home: self.clone(), name: name.to_owned(), path, _claim: claim })
    }
}

/// Takes the lock in a container's directory, which is made if need be.
pub(super) fn lock_file(directory: &Path) -> Result<Option<Claim>, ContainerError> {
    let path = directory.join("lock");
    let opened = File::options().create(true).truncate(false).write(true).open(&path);
    let lock = opened.map_err(|source| file(&path, source))?;
    match flock(lock.as_fd(), FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(Some(Claim { _file: lock })),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
        Err(error) => Err(file(&path, error.into())),
    }
}

/// Removes what nobody works on any more, with its volumes.
pub(super) fn remove_orphan(root: &Path, directory: &Path) {
    if let Ok(Some(_claim)) = lock_file(directory) {
        let volumes = fs::read_to_string(directory.join(VOLUMES)).unwrap_or_default();
        if let (false, Ok(engine)) = (volumes.is_empty(), Engine::open(root)) {
            // What was noted and never made is not there; what somebody else has by now stays.
            volumes.lines().for_each(|name| drop(engine.remove_volume(name)));
        }
        // Best effort: the next one that looks around does the same.
        let _ = fs::remove_dir_all(directory);
    }
}
