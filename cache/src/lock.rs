//! Locks between processes, so that identical steps run once.

use std::os::fd::OwnedFd;
use std::sync::Arc;

use rustix::fs::{FlockOperation, flock, fstat};
use rustix::io::{Errno, retry_on_intr};

use crate::disk::Disk;
use crate::{Key, Store, StoreError};

/// Other holders that may remove the file between our opening and our locking it, one after the other,
/// before we give up. Each round means that somebody else got on.
const ROUNDS_MAX: usize = 10_000;

/// An exclusive lock, held until it is dropped or its process dies.
#[derive(Debug)]
pub struct KeyLock {
    disk: Arc<Disk>,
    name: String,
    _lock: OwnedFd,
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // While the lock is held: whoever waits for it sees afterwards that its file is gone, and asks
        // again. Best effort, an empty file costs nothing.
        if let Err(error) = self.disk.remove(&self.name) {
            tracing::warn!(%error, "cannot remove a lock file");
        }
    }
}

impl std::fmt::Debug for Disk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Disk").field(&self.root()).finish()
    }
}

impl Store {
    /// Waits until no other process and no other thread holds the lock of this key, and takes it.
    ///
    /// Whoever holds it looks for the record once more before it runs the step: the previous holder may
    /// have written it.
    pub fn lock_key(&self, key: &Key) -> Result<KeyLock, StoreError> {
        let lock = self.lock(&key.to_string(), FlockOperation::LockExclusive)?;
        Ok(lock.expect("a blocking lock is taken or fails"))
    }

    /// Takes the lock of this key unless somebody else holds it.
    pub fn try_lock_key(&self, key: &Key) -> Result<Option<KeyLock>, StoreError> {
        self.lock(&key.to_string(), FlockOperation::NonBlockingLockExclusive)
    }

    /// Serialises what is not about a key; `name` is not the hexadecimal text of one.
    pub(crate) fn lock_name(&self, name: &str) -> Result<KeyLock, StoreError> {
        let lock = self.lock(name, FlockOperation::LockExclusive)?;
        Ok(lock.expect("a blocking lock is taken or fails"))
    }

    fn lock(&self, name: &str, operation: FlockOperation) -> Result<Option<KeyLock>, StoreError> {
        let name = format!("locks/{name}");
        let lock_error =
            |error: Errno| StoreError::Lock { path: self.disk().path(&name), source: error.into() };
        for _ in 0..ROUNDS_MAX {
            let file = match self.disk().open_lock(&name) {
                Err(Errno::NOENT) => {
                    self.disk().make_dir("locks")?;
                    self.disk().open_lock(&name)
                }
                other => other,
            }
            .map_err(|error| self.disk().write_error(&name, error))?;
            match retry_on_intr(|| flock(&file, operation)) {
                Ok(()) => {}
                Err(Errno::WOULDBLOCK) => return Ok(None),
                Err(error) => return Err(lock_error(error)),
            }
            // The previous holder removed the file that we waited for; others lock a new one.
            if fstat(&file).map_err(lock_error)?.st_nlink > 0 {
                return Ok(Some(KeyLock { disk: self.inner.disk.clone(), name, _lock: file }));
            }
        }
        Err(lock_error(Errno::DEADLK))
    }
}
