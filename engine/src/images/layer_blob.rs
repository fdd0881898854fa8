//! The blob that a layer came in: loaded or pulled once, and kept where it is still of use.

use std::os::fd::AsFd as _;

use cache::{Key, Layer, StoreError};
use image::{BlobDigest, DiffId, Hasher, Sha256};

/// The key under which a layer is brought in: two processes at a time do it once.
pub(crate) fn load_key(diff_id: &DiffId) -> Key {
    Key(Hasher::new("load-layer/v1").field("diff-id", diff_id.0.0).finish())
}

/// Whether a layer needs the blob that it came in: its tar is to leave as it came. One that we would write
/// with the same bytes is not kept twice, but a compressed one spares every later export the work.
pub(crate) fn is_needed(layer: &Layer, diff_id: DiffId, blob: &BlobDigest) -> Result<bool, StoreError> {
    if layer.kept_blob()?.as_ref() != Some(blob) {
        return Ok(false);
    }
    if blob.0 != diff_id.0 {
        return Ok(true);
    }
    let mut hash = Sha256::new();
    cache::layer::write_tar(layer.open()?.as_fd(), &mut hash, None).map_err(StoreError::from)?;
    Ok(hash.finish() != diff_id.0)
}
