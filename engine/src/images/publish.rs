//! Puts a finished image into the store.

use cache::{Layer, Store, StoredImage};
use image::{BlobDigest, Digest, ImageConfig, ImageId};

use super::ImageError;
use super::time::parse_rfc3339;

/// Keeps the config and then the image that it describes, whose layers are there already. Nothing is durable
/// before [`Store::make_durable`].
///
/// `bytes` are those of `config`: their digest is the id, so an image from elsewhere keeps its own.
pub(crate) fn publish(
    store: &Store,
    bytes: &[u8],
    config: &ImageConfig,
    layers: &[Layer],
    clamp_mtime: Option<i64>,
) -> Result<ImageId, ImageError> {
    let id = ImageId(Digest::of(bytes));
    let mut size_bytes = 0;
    for layer in layers {
        size_bytes += layer.size_bytes()?;
    }
    let created = config.created.as_deref().and_then(parse_rfc3339);
    let config_blob = store.put_blob(bytes)?;
    assert_eq!(config_blob, BlobDigest(id.0), "a blob's digest is that of its bytes");
    store.put_image(&StoredImage {
        id,
        manifest: None,
        layers: layers.iter().map(Layer::id).collect(),
        clamp_mtime,
        created_unix_s: created.map_or(0, |time| time.as_second()),
        size_bytes,
        labels: config.config.labels.clone(),
    })?;
    Ok(id)
}
