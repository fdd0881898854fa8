//! Bytes under their own digest.

use std::fs::File;
use std::io::{self, Read, Write as _};

use image::{BlobDigest, Digest, Sha256};

use crate::byte_lock::Place;
use crate::disk::Disk;
use crate::{Store, StoreError};

/// Block in which incoming blobs are copied: large enough that system calls do not count.
const BLOCK_BYTES: usize = 256 << 10;

impl Store {
    /// Keeps `bytes`. When they are there already this is a success and writes nothing.
    pub fn put_blob(&self, bytes: &[u8]) -> Result<BlobDigest, StoreError> {
        let digest = BlobDigest(Digest::of(bytes));
        let name = blob_name(&digest);
        self.lease_blob(&digest)?;
        // Compared and not only found: after a power cut a blob may be there without its bytes.
        if self.disk().read(&name, bytes.len() as u64)?.is_some_and(|found| found == bytes) {
            return Ok(digest);
        }
        let _publishing = self.inner.durability.publish();
        self.publish(&name, bytes)?;
        self.grew(bytes.len() as u64);
        Ok(digest)
    }

    /// Keeps what `reader` gives, which is visible only once it is complete and is what was expected.
    ///
    /// # Errors
    ///
    /// [`StoreError::WrongDigest`], [`StoreError::WrongSize`] when it is something else,
    /// [`StoreError::TooLarge`] when it goes on after `size_bytes_max`, [`StoreError::Input`] when `reader`
    /// has an error. Nothing is kept then.
    pub fn put_blob_from(
        &self,
        reader: &mut dyn Read,
        expected: Option<(BlobDigest, u64)>,
        size_bytes_max: u64,
    ) -> Result<(BlobDigest, u64), StoreError> {
        let staged = self.session()?.next_name();
        let mut stage = || {
            let file = self.disk().create(&staged)?;
            let size_bytes_max = expected.map_or(size_bytes_max, |(_, size)| size.min(size_bytes_max));
            let (digest, size_bytes) = copy_hashed(self.disk(), &staged, file, reader, size_bytes_max)
                .map_err(|error| too_long(error, expected))?;
            check_expected(digest, size_bytes, expected)?;
            let _publishing = self.inner.durability.publish();
            self.lease_blob(&digest)?;
            self.disk().rename(&staged, &blob_name(&digest))?;
            self.grew(size_bytes);
            Ok((digest, size_bytes))
        };
        stage().inspect_err(|_| self.discard_staged(&staged))
    }

    /// A blob's bytes, verified; `None` when it is not there, longer than `size_bytes_max`, or damaged. A
    /// damaged blob is removed, so that it is fetched or made again.
    pub fn read_blob(&self, digest: &BlobDigest, size_bytes_max: u64) -> Result<Option<Vec<u8>>, StoreError> {
        let name = blob_name(digest);
        self.lease_blob(digest)?;
        let Some(bytes) = self.disk().read(&name, size_bytes_max)? else { return Ok(None) };
        if bytes.len() as u64 > size_bytes_max {
            return Err(StoreError::TooLarge { size_bytes_max });
        }
        if Digest::of(&bytes) == digest.0 {
            return Ok(Some(bytes));
        }
        tracing::warn!(%digest, "damaged blob is removed from the store");
        self.disk().remove(&name)?;
        Ok(None)
    }

    /// Opens a blob for reading, without verifying it; `None` when it is not there.
    pub fn open_blob(&self, digest: &BlobDigest) -> Result<Option<File>, StoreError> {
        self.lease_blob(digest)?;
        self.disk().open_file(&blob_name(digest))
    }

    /// Removes a blob; whether it was removed. Records that point at it become misses. One that another opening of the
    /// store has found stays, and is the collector's.
    pub fn remove_blob(&self, digest: &BlobDigest) -> Result<bool, StoreError> {
        let _publishing = self.inner.durability.publish();
        let place = Place::of_blob(&digest.0);
        let removed =
            self.inner.leases.alone(self.disk(), place, || self.disk().remove(&blob_name(digest)))?;
        Ok(removed.unwrap_or(false))
    }

    /// Removes a blob if its bytes are not those of its digest; whether it did. Reads all of it.
    pub fn remove_damaged_blob(&self, digest: &BlobDigest) -> Result<bool, StoreError> {
        let name = blob_name(digest);
        let Some(mut file) = self.open_blob(digest)? else { return Ok(false) };
        let mut hash = Sha256::new();
        io::copy(&mut file, &mut hash).map_err(|error| self.disk().read_error(&name, error))?;
        if hash.finish() == digest.0 {
            return Ok(false);
        }
        tracing::warn!(%digest, "damaged blob is removed from the store");
        self.disk().remove(&name)
    }
}

pub(crate) fn blob_name(digest: &BlobDigest) -> String {
    format!("blobs/sha256/{}", digest.0.hex())
}

/// Copies at most `size_bytes_max` bytes; more are an error.
fn copy_hashed(
    disk: &Disk,
    staged: &str,
    mut file: File,
    reader: &mut dyn Read,
    size_bytes_max: u64,
) -> Result<(BlobDigest, u64), StoreError> {
    let mut block = vec![0; BLOCK_BYTES];
    let mut hash = Sha256::new();
    let mut size_bytes = 0;
    loop {
        let count = match reader.read(&mut block) {
            Ok(0) => return Ok((BlobDigest(hash.finish()), size_bytes)),
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(StoreError::Input { source }),
        };
        size_bytes += count as u64;
        if size_bytes > size_bytes_max {
            return Err(StoreError::TooLarge { size_bytes_max });
        }
        hash.update(&block[..count]);
        file.write_all(&block[..count]).map_err(|source| disk.write_error(staged, source))?;
    }
}

/// Going on after the promised size is a wrong size, not a limit of ours.
fn too_long(error: StoreError, expected: Option<(BlobDigest, u64)>) -> StoreError {
    match (error, expected) {
        (StoreError::TooLarge { size_bytes_max }, Some((_, size))) if size == size_bytes_max => {
            StoreError::WrongSize { expected: size, actual: size + 1 }
        }
        (error, _) => error,
    }
}

fn check_expected(
    actual: BlobDigest,
    size_bytes: u64,
    expected: Option<(BlobDigest, u64)>,
) -> Result<(), StoreError> {
    match expected {
        Some((_, size)) if size != size_bytes => {
            Err(StoreError::WrongSize { expected: size, actual: size_bytes })
        }
        Some((expected, _)) if expected != actual => Err(StoreError::WrongDigest { expected, actual }),
        _ => Ok(()),
    }
}
