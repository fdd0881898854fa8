//! Directories for work that leaves nothing behind.

use std::path::{Path, PathBuf};

use crate::{Store, StoreError};

/// An empty directory on the file system of the store, gone with its value. Whoever is killed leaves it to a sweep.
#[derive(Debug)]
pub struct StagedDirectory {
    store: Store,
    name: String,
    path: PathBuf,
}

impl StagedDirectory {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for StagedDirectory {
    fn drop(&mut self) {
        // There is a session: it was made in it.
        if let Ok(session) = self.store.session() {
            session.discard(&self.name);
        }
    }
}

impl Store {
    /// Makes a directory for work that leaves nothing behind.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn stage_directory(&self) -> Result<StagedDirectory, StoreError> {
        let name = self.session()?.next_name();
        self.disk().make_dir(&name)?;
        Ok(StagedDirectory { store: self.clone(), path: self.disk().path(&name), name })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_goes_with_its_value() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path()).unwrap();
        let directory = store.stage_directory().unwrap();
        let path = directory.path().to_owned();
        assert!(path.starts_with(root.path()));
        std::fs::create_dir(path.join("below")).unwrap();
        std::fs::write(path.join("below/file"), "x").unwrap();
        drop(directory);
        assert!(!path.exists());
    }
}
