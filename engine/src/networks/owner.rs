//! The user namespace of an ordinary user's networks.
//!
//! A process can only use a network namespace of a user namespace in which it is root. So all containers of a user that share
//! networks share a user namespace as well: that of the first, which is there for as long as a switch or a container is.

use std::fs::File;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::NetworkError;
use super::directory::{DIRECTORY, Directory};
use crate::containers::user_namespace;
use crate::sandbox::NamespaceError;

/// The right to make the user namespace of a user's networks. Whoever has it starts the first switch, or finds one; the others
/// wait until it is dropped.
#[derive(Debug, Clone, Default)]
pub struct Founder(Arc<Mutex<Option<File>>>);

/// Why this process is not root where the networks are.
#[derive(Debug, thiserror::Error)]
pub enum OwnerError {
    /// The networks cannot be looked at.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The kernel refuses.
    #[error(transparent)]
    Namespace(#[from] NamespaceError),
}

impl Founder {
    /// Becomes root as [`crate::sandbox::become_root`] does, but where the first of `neighbours` runs, containers whose namespaces will be
    /// joined, or else where the networks of the store `root` are. The process must have a single thread.
    ///
    /// # Errors
    ///
    /// When the kernel allows no user namespace, or the store cannot be used.
    pub fn become_root(root: &Path, neighbours: &[String]) -> Result<Self, OwnerError> {
        let is_root = rustix::process::geteuid().is_root();
        let neighbours = if is_root { &[] } else { neighbours };
        if let Some(owner) = neighbours.iter().find_map(|name| user_namespace(root, name)) {
            executor::become_root_in(owner)?;
            return Ok(Self::default());
        }
        let may_have_networks = root.join(DIRECTORY).is_dir();
        if is_root || !may_have_networks {
            crate::sandbox::become_root()?;
            return Ok(Self::default());
        }
        let directory = Directory::open(root)?;
        let lock = directory.lock("owner")?;
        for facts in directory.all()? {
            if let Some(owner) =
                executor::owner(directory.fd(), &format!("{}.sock", facts.id)).map_err(NetworkError::from)?
            {
                executor::become_root_in(owner)?;
                return Ok(Self::default());
            }
        }
        crate::sandbox::become_root()?;
        Ok(Self(Arc::new(Mutex::new(Some(lock)))))
    }

    /// Lets the others go on: a switch is there, or none is needed any more.
    pub(crate) fn done(&self) {
        drop(self.0.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}
