//! A remote cache in a directory: an OCI layout, in which it is one of the names.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

use image::{BlobDigest, Descriptor, Digest, Index};

use super::RemoteCacheError;
use crate::images::layout::{INDEX, LAYOUT, REF_NAME_ANNOTATION};
use crate::images::{LayoutLock, read_index};

/// Where blobs are, below the directory.
const BLOBS: &str = "blobs/sha256";

/// A directory with caches.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    path: PathBuf,
    tag: String,
}

impl Layout {
    pub(super) fn new(path: &Path, tag: &str) -> Self {
        Self { path: path.to_owned(), tag: tag.to_owned() }
    }

    fn blob_path(&self, digest: &BlobDigest) -> PathBuf {
        self.path.join(BLOBS).join(digest.0.hex())
    }

    /// What the tag names, if there is such a tag.
    pub(super) fn named(&self) -> Result<Option<Descriptor>, RemoteCacheError> {
        let index = self.index()?;
        Ok(index.manifests.into_iter().rev().find(|descriptor| self.is_mine(descriptor)))
    }

    fn is_mine(&self, descriptor: &Descriptor) -> bool {
        descriptor.annotations.get(REF_NAME_ANNOTATION) == Some(&self.tag)
    }

    fn index(&self) -> Result<Index, RemoteCacheError> {
        read_index(&self.path)
            .map_err(|source| RemoteCacheError::Read { path: self.path.join(INDEX), source })
    }

    /// A document, verified.
    pub(super) fn document(&self, blob: &Descriptor, bytes_max: u64) -> Result<Vec<u8>, RemoteCacheError> {
        let bytes = read_bounded(&self.blob_path(&blob.digest), bytes_max)?;
        let (expected, actual) = (blob.digest.0, Digest::of(&bytes));
        if expected == actual { Ok(bytes) } else { Err(RemoteCacheError::WrongDigest { expected, actual }) }
    }

    pub(super) fn open(&self, digest: &BlobDigest) -> Result<File, RemoteCacheError> {
        let path = self.blob_path(digest);
        File::open(&path).map_err(|source| RemoteCacheError::Read { path, source })
    }

    /// Whether a blob is there, with as many bytes as it should have.
    pub(super) fn has(&self, blob: &Descriptor) -> bool {
        let found = fs::metadata(self.blob_path(&blob.digest));
        found.is_ok_and(|found| found.is_file() && found.len() == blob.size_bytes)
    }

    /// Keeps a blob, which appears whole.
    pub(super) fn put(&self, digest: &BlobDigest, from: &mut dyn io::Read) -> Result<(), RemoteCacheError> {
        self.write(&self.blob_path(digest), from)
    }

    /// Makes the tag name a document.
    pub(super) fn name(&self, mut descriptor: Descriptor) -> Result<(), RemoteCacheError> {
        fs::create_dir_all(&self.path)
            .map_err(|source| RemoteCacheError::Write { path: self.path.clone(), source })?;
        // Others may name something in the same directory.
        let _lock = LayoutLock::take(&self.path)
            .map_err(|source| RemoteCacheError::Write { path: self.path.join(LAYOUT), source })?;
        let mut index = self.index()?;
        index.manifests.retain(|other| !self.is_mine(other));
        descriptor.annotations.insert(REF_NAME_ANNOTATION.to_owned(), self.tag.clone());
        index.manifests.push(descriptor);
        self.write(&self.path.join(INDEX), &mut index.to_json().as_slice())
    }

    fn write(&self, path: &Path, from: &mut dyn io::Read) -> Result<(), RemoteCacheError> {
        let failed = |source| RemoteCacheError::Write { path: path.to_owned(), source };
        let directory = path.parent().expect("what is written is in a directory");
        fs::create_dir_all(directory).map_err(failed)?;
        let mut staged = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
        io::copy(from, staged.as_file_mut()).map_err(failed)?;
        staged.as_file_mut().flush().map_err(failed)?;
        // Others than its writer read a cache.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
        staged.as_file().set_permissions(mode).map_err(failed)?;
        staged.persist(path).map_err(|error| failed(error.error))?;
        Ok(())
    }
}

fn read_bounded(path: &Path, size_bytes_max: u64) -> Result<Vec<u8>, RemoteCacheError> {
    let failed = |source| RemoteCacheError::Read { path: path.to_owned(), source };
    let file = File::open(path).map_err(failed)?;
    let size_bytes = file.metadata().map_err(failed)?.len();
    if size_bytes > size_bytes_max {
        return Err(RemoteCacheError::TooLarge { size_bytes, size_bytes_max });
    }
    let mut bytes = Vec::new();
    file.take(size_bytes_max).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
