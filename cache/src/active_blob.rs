//! Blobs that arrive in pieces.

use std::collections::BTreeMap;
use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::sync::Mutex;

use image::{BlobDigest, Sha256};

use crate::blob::blob_name;
use crate::stamp::lock;
use crate::{Store, StoreError};

/// Block in which pieces are read back for their digest.
const BLOCK_BYTES: usize = 256 << 10;

/// A blob whose pieces come in any order, as ranges of a download do.
///
/// It is visible only after [`ActiveBlob::commit`]; dropping it throws away what has come. Its digest is computed
/// while it grows.
pub struct ActiveBlob {
    store: Store,
    staged: String,
    file: File,
    digest: BlobDigest,
    size_bytes: u64,
    progress: Mutex<Progress>,
}

/// How far the digest is.
struct Progress {
    hash: Sha256,
    hashed_bytes: u64,
    /// Pieces behind that, by their start, with their end.
    waiting: BTreeMap<u64, u64>,
    /// Bytes that were hashed already have come again, maybe as others.
    is_rewritten: bool,
}

impl Store {
    /// Begins a blob that is to have this digest and this size.
    pub fn begin_blob(&self, digest: BlobDigest, size_bytes: u64) -> Result<ActiveBlob, StoreError> {
        let staged = self.session()?.next_name();
        let file = self.disk().create(&staged)?;
        let progress = Mutex::new(Progress::default());
        Ok(ActiveBlob { store: self.clone(), staged, file, digest, size_bytes, progress })
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self { hash: Sha256::new(), hashed_bytes: 0, waiting: BTreeMap::new(), is_rewritten: false }
    }
}

impl ActiveBlob {
    /// Keeps `bytes` at `offset`.
    ///
    /// # Errors
    ///
    /// [`StoreError::WrongSize`] for bytes behind the end, [`StoreError::Write`].
    pub fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        let end = offset.saturating_add(bytes.len() as u64);
        if end > self.size_bytes {
            return Err(StoreError::WrongSize { expected: self.size_bytes, actual: end });
        }
        let failed = |source| self.store.disk().write_error(&self.staged, source);
        self.file.write_all_at(bytes, offset).map_err(failed)?;
        let mut progress = lock(&self.progress);
        if offset < progress.hashed_bytes {
            progress.is_rewritten = true;
        } else if offset == progress.hashed_bytes {
            progress.hash.update(bytes);
            progress.hashed_bytes = end;
            self.catch_up(&mut progress)?;
        } else {
            let known = progress.waiting.entry(offset).or_insert(end);
            *known = end.max(*known);
        }
        Ok(())
    }

    /// Makes the blob visible, if it is the one that was promised.
    ///
    /// # Errors
    ///
    /// [`StoreError::WrongDigest`] when it is not. Nothing is kept then.
    pub fn commit(self) -> Result<BlobDigest, StoreError> {
        let mut progress = std::mem::take(&mut *lock(&self.progress));
        if progress.is_rewritten || progress.hashed_bytes < self.size_bytes {
            progress = Progress::default();
            self.hash_to(&mut progress, self.size_bytes)?;
        }
        let actual = BlobDigest(progress.hash.finish());
        if actual != self.digest {
            return Err(StoreError::WrongDigest { expected: self.digest, actual });
        }
        let _publishing = self.store.inner.durability.publish();
        self.store.lease_blob(&self.digest)?;
        self.store.disk().rename(&self.staged, &blob_name(&self.digest))?;
        self.store.grew(self.size_bytes);
        Ok(self.digest)
    }

    /// Hashes the pieces that were waiting for those before them.
    fn catch_up(&self, progress: &mut Progress) -> Result<(), StoreError> {
        while let Some((start, end)) = progress.waiting.first_key_value().map(|(start, end)| (*start, *end)) {
            if start > progress.hashed_bytes {
                return Ok(());
            }
            progress.waiting.pop_first();
            self.hash_to(progress, end)?;
        }
        Ok(())
    }

    fn hash_to(&self, progress: &mut Progress, end: u64) -> Result<(), StoreError> {
        let mut block = vec![0; BLOCK_BYTES];
        while progress.hashed_bytes < end {
            let rest = usize::try_from(end - progress.hashed_bytes).unwrap_or(usize::MAX);
            let wanted = &mut block[..rest.min(BLOCK_BYTES)];
            let count = self
                .file
                .read_at(wanted, progress.hashed_bytes)
                .map_err(|source| self.store.disk().read_error(&self.staged, source))?;
            if count == 0 {
                return Err(StoreError::WrongSize {
                    expected: self.size_bytes,
                    actual: progress.hashed_bytes,
                });
            }
            progress.hash.update(&wanted[..count]);
            progress.hashed_bytes += count as u64;
        }
        Ok(())
    }
}

impl Drop for ActiveBlob {
    fn drop(&mut self) {
        // After a commit there is nothing of that name.
        self.store.discard_staged(&self.staged);
    }
}

#[cfg(test)]
mod tests {
    use image::Digest;

    use super::*;

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let store = Store::open(&directory.path().join("store")).expect("a store");
        (directory, store)
    }

    fn bytes() -> Vec<u8> {
        (0..1_000_000_u32).map(|number| (number % 251) as u8).collect()
    }

    fn begin(store: &Store) -> ActiveBlob {
        let bytes = bytes();
        store.begin_blob(BlobDigest(Digest::of(&bytes)), bytes.len() as u64).expect("a blob begins")
    }

    #[test]
    fn pieces_come_in_any_order() {
        let bytes = bytes();
        for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2], [2, 3, 0, 1]] {
            let (_directory, store) = store();
            let blob = begin(&store);
            for piece in order {
                let start = piece * 250_000;
                blob.write_at(start as u64, &bytes[start..start + 250_000]).expect("it is within the blob");
            }
            let digest = blob.commit().expect("it is the promised blob");
            assert_eq!(
                store.read_blob(&digest, 1 << 20).expect("a store").as_deref(),
                Some(bytes.as_slice())
            );
        }
    }

    #[test]
    fn a_piece_that_comes_again_counts_as_it_came_last() {
        let (_directory, store) = store();
        let (blob, mut wrong) = (begin(&store), bytes());
        wrong[5] ^= 1;
        blob.write_at(0, &wrong).expect("it is within the blob");
        blob.write_at(0, &bytes()).expect("it is within the blob");
        assert!(blob.commit().is_ok());
        let blob = begin(&store);
        blob.write_at(0, &bytes()).expect("it is within the blob");
        blob.write_at(0, &wrong[..10]).expect("it is within the blob");
        assert!(matches!(blob.commit(), Err(StoreError::WrongDigest { .. })));
    }

    #[test]
    fn what_is_missing_or_too_much_is_noticed_and_nothing_stays() {
        let (_directory, store) = store();
        let digest = BlobDigest(Digest::of(&bytes()));
        let blob = begin(&store);
        blob.write_at(0, &bytes()[..999_999]).expect("it is within the blob");
        assert!(matches!(blob.write_at(999_999, b"ab"), Err(StoreError::WrongSize { .. })));
        assert!(matches!(blob.commit(), Err(StoreError::WrongSize { actual: 999_999, .. })));
        drop(begin(&store));
        assert!(store.open_blob(&digest).expect("a store").is_none());
        let staging = std::fs::read_dir(store.root().join("staging")).expect("a session");
        for session in staging {
            let names = std::fs::read_dir(session.expect("an entry").path()).expect("a directory");
            let left: Vec<_> =
                names.map(|name| name.expect("an entry").file_name()).filter(|name| name != "lock").collect();
            assert!(left.is_empty(), "{left:?}");
        }
    }
}
