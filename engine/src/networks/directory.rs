//! Where the networks of a store are.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::retry_on_intr;

use super::NetworkError;
use super::facts::Facts;

/// Where the networks of a store are.
pub(super) const DIRECTORY: &str = "networks";

/// The directory of the networks of a store.
pub(super) struct Directory {
    pub(super) path: PathBuf,
    handle: File,
}

impl Directory {
    /// Makes it when it is missing.
    pub(super) fn open(root: &Path) -> Result<Self, NetworkError> {
        let path = root.join(DIRECTORY);
        let failed = |source| NetworkError::File { path: path.clone(), source };
        fs::create_dir_all(&path).map_err(failed)?;
        let handle = File::open(&path).map_err(failed)?;
        Ok(Self { path, handle })
    }

    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.handle.as_fd()
    }

    /// A lock that is held until the file is closed.
    pub(super) fn lock(&self, name: &str) -> Result<File, NetworkError> {
        let path = self.path.join(name);
        let failed = |source| NetworkError::File { path: path.clone(), source };
        let file = open_lock(&path).map_err(failed)?;
        retry_on_intr(|| flock(&file, FlockOperation::LockExclusive))
            .map_err(|error| failed(error.into()))?;
        Ok(file)
    }

    /// All networks, in the order of their names. What cannot be read is none.
    pub(super) fn all(&self) -> Result<Vec<Facts>, NetworkError> {
        let failed = |source| NetworkError::File { path: self.path.clone(), source };
        let mut all = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            if path.extension().is_some_and(|extension| extension == "json") {
                match fs::read(&path).map(|bytes| serde_json::from_slice::<Facts>(&bytes)) {
                    Ok(Ok(facts)) => all.push(facts),
                    Ok(Err(error)) => {
                        tracing::warn!(path = %path.display(), %error, "damaged network is not used");
                    }
                    Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                    Err(source) => return Err(NetworkError::File { path, source }),
                }
            }
        }
        all.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(all)
    }

    /// The network of a name, an id, or the beginning of one.
    pub(super) fn find(&self, name: &str) -> Result<Facts, NetworkError> {
        let all = self.all()?;
        if let Some(found) = all.iter().find(|facts| facts.name == name || facts.id == name) {
            return Ok(found.clone());
        }
        let mut found: Vec<Facts> =
            all.into_iter().filter(|facts| !name.is_empty() && facts.id.starts_with(name)).collect();
        match found.len() {
            1 => Ok(found.remove(0)),
            0 => Err(NetworkError::NotFound { name: name.to_owned() }),
            count => Err(NetworkError::Ambiguous { name: name.to_owned(), count }),
        }
    }

    pub(super) fn write(&self, facts: &Facts) -> Result<(), NetworkError> {
        let path = self.path.join(format!("{}.json", facts.id));
        let failed = |source| NetworkError::File { path: path.clone(), source };
        let bytes = serde_json::to_vec(facts).expect("facts have only text as keys");
        let mut staged = tempfile::NamedTempFile::new_in(&self.path).map_err(failed)?;
        io::Write::write_all(&mut staged, &bytes).map_err(failed)?;
        staged.as_file().sync_all().map_err(failed)?;
        staged.persist(&path).map_err(|error| failed(error.error))?;
        self.handle.sync_all().map_err(failed)
    }
}

/// Opens a file to be locked, each time anew: a lock belongs to an opening.
pub(super) fn open_lock(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}
