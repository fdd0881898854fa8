//! Locks between processes, so that identical steps run once.
//!
//! All are bytes of the one file `ROOT/locks/names`.

use image::Digest;

use crate::byte_lock::{ByteLocks, Lock, Place};
use crate::{Key, Store, StoreError};

/// The file whose bytes are locked; it stays empty.
const NAMES: &str = "locks/names";

/// An exclusive lock, held until it is dropped or its process dies.
#[derive(Debug)]
pub struct KeyLock {
    /// Invariant: holds the lock.
    _locks: ByteLocks,
}

impl Store {
    /// Waits until no other process and no other thread holds the lock of this key, and takes it.
    ///
    /// Whoever holds it looks for the record once more before it runs the step: the previous holder may
    /// have written it.
    pub fn lock_key(&self, key: &Key) -> Result<KeyLock, StoreError> {
        self.lock(&key.0)
    }

    /// Takes the lock of this key unless somebody else holds it.
    pub fn try_lock_key(&self, key: &Key) -> Result<Option<KeyLock>, StoreError> {
        self.try_lock(&key.0)
    }

    /// Serialises what is not about a key.
    pub(crate) fn lock_name(&self, name: &str) -> Result<KeyLock, StoreError> {
        self.lock(&Digest::of(name.as_bytes()))
    }

    /// The same, unless somebody else holds it.
    pub(crate) fn try_lock_name(&self, name: &str) -> Result<Option<KeyLock>, StoreError> {
        self.try_lock(&Digest::of(name.as_bytes()))
    }

    fn try_lock(&self, name: &Digest) -> Result<Option<KeyLock>, StoreError> {
        let locks = ByteLocks::open(self.disk(), NAMES)?;
        let taken = locks.try_set(Lock::Exclusive, Place::of(&name.0))?;
        Ok(taken.then_some(KeyLock { _locks: locks }))
    }

    fn lock(&self, name: &Digest) -> Result<KeyLock, StoreError> {
        let locks = ByteLocks::open(self.disk(), NAMES)?;
        locks.wait(Lock::Exclusive, Place::of(&name.0))?;
        Ok(KeyLock { _locks: locks })
    }
}
