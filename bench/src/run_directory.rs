//! The directory of one run, with the states of all builders.

use std::fs;
use std::path::{Path, PathBuf};
use std::process;

use crate::error::Error;

const PREFIX: &str = "run-";

/// The directory of one run, named after our process. Removed when dropped.
pub(crate) struct RunDirectory {
    path: PathBuf,
}

impl RunDirectory {
    /// Makes the directory below `parent`, and removes those of runs that were killed.
    pub(crate) fn new(parent: &Path) -> Result<Self, Error> {
        fs::create_dir_all(parent).map_err(Error::at(parent))?;
        remove_abandoned(parent)?;
        let path = parent.join(format!("{PREFIX}{}", process::id()));
        fs::create_dir_all(&path).map_err(Error::at(&path))?;
        Ok(Self { path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for RunDirectory {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.path) {
            eprintln!("bench: cannot remove {}: {error}", self.path.display());
        }
    }
}

fn remove_abandoned(parent: &Path) -> Result<(), Error> {
    for entry in fs::read_dir(parent).map_err(Error::at(parent))? {
        let entry = entry.map_err(Error::at(parent))?;
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.strip_prefix(PREFIX));
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            fs::remove_dir_all(entry.path()).map_err(Error::at(entry.path()))?;
        }
    }
    Ok(())
}
