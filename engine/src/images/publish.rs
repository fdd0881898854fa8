//! Puts a finished image into the store.

use cache::{Layer, Store, StoredImage};
use image::{BlobDigest, Digest, ImageConfig, ImageId};

use super::ImageError;
use super::time::parse_rfc3339;

/// What an image is made of.
pub(crate) struct Published<'a> {
    /// Those of `config`: their digest is the id, so an image from elsewhere keeps its own.
    pub(crate) bytes: &'a [u8],
    pub(crate) config: &'a ImageConfig,
    pub(crate) layers: &'a [Layer],
    pub(crate) clamp_mtime: Option<i64>,
    /// The manifest that it came with, a blob of the store.
    pub(crate) manifest: Option<BlobDigest>,
}

/// Keeps the config and then the image that it describes, whose layers are there already. Nothing is durable
/// before [`Store::make_durable`].
pub(crate) fn publish(
    store: &Store,
    bytes: &[u8],
    config: &ImageConfig,
    layers: &[Layer],
    clamp_mtime: Option<i64>,
) -> Result<ImageId, ImageError> {
    publish_as(store, &Published { bytes, config, layers, clamp_mtime, manifest: None })
}

/// The same for an image that may have come with a manifest.
pub(crate) fn publish_as(store: &Store, published: &Published<'_>) -> Result<ImageId, ImageError> {
    let Published { bytes, config, layers, clamp_mtime, manifest } = *published;
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
        manifest,
        layers: layers.iter().map(Layer::id).collect(),
        clamp_mtime,
        created_unix_s: created.map_or(0, |time| time.as_second()),
        size_bytes,
        labels: config.config.labels.clone(),
    })?;
    Ok(id)
}
