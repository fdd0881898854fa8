//! Reads the config of an image in the store.

use cache::Store;
use image::{BlobDigest, ImageConfig, ImageId};

use super::ImageError;

/// Docker and the registries refuse configs over 4 MiB.
pub(super) const CONFIG_BYTES_MAX: u64 = 4 << 20;

/// The config of an image, as the bytes whose digest is the id.
pub(crate) fn read_config_bytes(store: &Store, id: &ImageId) -> Result<Vec<u8>, ImageError> {
    let damaged = || ImageError::Damaged { id: *id, what: "its config is gone".to_owned() };
    store.read_blob(&BlobDigest(id.0), CONFIG_BYTES_MAX)?.ok_or_else(damaged)
}

/// The config of an image.
///
/// # Errors
///
/// [`ImageError::Damaged`] when the store no longer has it.
pub fn read_config(store: &Store, id: &ImageId) -> Result<ImageConfig, ImageError> {
    parse_config(&read_config_bytes(store, id)?, id)
}

pub(super) fn parse_config(bytes: &[u8], id: &ImageId) -> Result<ImageConfig, ImageError> {
    serde_json::from_slice(bytes).map_err(|error| ImageError::Damaged {
        id: *id,
        what: format!("its config is no JSON of an image config ({error})"),
    })
}
