//! Where pushed bytes come from: a blob of the store, or memory.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use cache::{Store, StoreError};
use image::BlobDigest;
use registry::Source;

use crate::blocking::blocking;

/// A blob of the store.
pub(crate) struct BlobFile(Arc<File>);

impl BlobFile {
    pub(crate) fn open(store: &Store, digest: &BlobDigest) -> Result<Self, StoreError> {
        let file = store.open_blob(digest)?.ok_or(StoreError::NoBlob { digest: *digest })?;
        Ok(Self(Arc::new(file)))
    }
}

impl Source for BlobFile {
    async fn read_at(&self, offset: u64, length: usize) -> io::Result<bytes::Bytes> {
        let file = self.0.clone();
        blocking(move || {
            let mut bytes = vec![0; length];
            let count = file.read_at(&mut bytes, offset)?;
            bytes.truncate(count);
            Ok(bytes.into())
        })
        .await
    }
}

/// A document.
pub(crate) struct Bytes(pub(crate) bytes::Bytes);

impl Source for Bytes {
    async fn read_at(&self, offset: u64, length: usize) -> io::Result<bytes::Bytes> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX).min(self.0.len());
        let end = start.saturating_add(length).min(self.0.len());
        Ok(self.0.slice(start..end))
    }
}
