//! Where downloaded bytes go: a blob of the store, or memory.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cache::{ActiveBlob, StoreError};
use image::{Digest, Sha256};
use registry::Sink;

use crate::blocking::blocking;

/// A blob of the store that grows.
pub(super) struct Growing(pub(super) Arc<ActiveBlob>);

impl Sink for Growing {
    async fn write_at(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        let blob = self.0.clone();
        let written = blocking(move || blob.write_at(offset, &bytes)).await;
        written.map_err(|error| match error {
            StoreError::Write { source, .. } | StoreError::Read { source, .. } => source,
            other => io::Error::other(other),
        })
    }
}

/// A small blob in memory.
#[derive(Default)]
pub(super) struct Memory(Mutex<Vec<u8>>);

impl Memory {
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Memory {
    async fn write_at(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        let mut memory = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let start = usize::try_from(offset).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
        let end = start + bytes.len();
        if memory.len() < end {
            memory.resize(end, 0);
        }
        memory[start..end].copy_from_slice(&bytes);
        Ok(())
    }
}

/// Hashes what comes from the first byte to the last, and keeps nothing.
#[derive(Default)]
pub(super) struct Hashing(Mutex<(Sha256, u64)>);

impl Hashing {
    pub(super) fn finish(self) -> Digest {
        let (hash, _) = self.0.into_inner().unwrap_or_else(PoisonError::into_inner);
        hash.finish()
    }
}

impl Sink for Hashing {
    async fn write_at(&self, offset: u64, bytes: Bytes) -> io::Result<()> {
        let mut hashing = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (hash, end) = &mut *hashing;
        if offset != *end {
            return Err(io::Error::other("the bytes do not come in their order"));
        }
        hash.update(&bytes);
        *end += bytes.len() as u64;
        Ok(())
    }
}
