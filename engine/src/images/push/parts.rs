//! What a pushed image consists of, and in which form it leaves.

use std::sync::Arc;

use cache::{Store, StoredImage};
use image::{BlobDigest, Descriptor, Digest, ImageConfig, Manifest, MediaType, Platform};

use crate::images::ImageError;
use crate::images::config::{parse_config, read_config_bytes};
use crate::images::documents::Document;
use crate::images::form::ImageForm;
use crate::images::layers::{LayerTar, layer_tars};

/// Registries refuse larger manifests.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;

/// An image on its way out.
pub(super) struct Parts {
    pub(super) config: Vec<u8>,
    pub(super) platform: Platform,
    pub(super) layers: Vec<Layer>,
    /// The manifest that it came with, which still describes it.
    as_it_came: Option<(String, Vec<u8>)>,
}

/// Whether the manifest that an image came with is of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CameWith {
    Manifest,
    Nothing,
}

/// One layer.
pub(super) struct Layer {
    pub(super) tar: Arc<LayerTar>,
    /// How it is described in the manifest that the image came with.
    pub(super) as_it_came: Option<Descriptor>,
}

/// Looks up what there is of an image.
pub(super) fn plan(store: &Store, image: &StoredImage, manifest: CameWith) -> Result<Parts, ImageError> {
    let bytes = read_config_bytes(store, &image.id)?;
    let config: ImageConfig = parse_config(&bytes, &image.id)?;
    let tars = layer_tars(store, image, &config)?;
    let came_with = match manifest {
        CameWith::Manifest => came_with(store, image, tars.len())?,
        CameWith::Nothing => None,
    };
    let described = came_with.as_ref().map(|(_, manifest)| manifest.layers.as_slice());
    let layers = tars.into_iter().enumerate().map(|(at, tar)| Layer {
        tar: Arc::new(tar),
        as_it_came: described.map(|layers| layers[at].clone()),
    });
    Ok(Parts {
        platform: config.platform(),
        config: bytes,
        layers: layers.collect(),
        as_it_came: came_with.map(|(bytes, manifest)| (manifest.media_type, bytes)),
    })
}

/// The manifest of an image from a registry, if everything that it names is here.
fn came_with(
    store: &Store,
    image: &StoredImage,
    layers: usize,
) -> Result<Option<(Vec<u8>, Manifest)>, ImageError> {
    let Some(digest) = &image.manifest else { return Ok(None) };
    let Some(bytes) = store.read_blob(digest, MANIFEST_BYTES_MAX)? else { return Ok(None) };
    let Ok(manifest) = Manifest::parse(&bytes) else { return Ok(None) };
    if manifest.config.digest.0 != image.id.0 || manifest.layers.len() != layers {
        return Ok(None);
    }
    for layer in manifest.layers.iter().filter(|layer| layer.urls.is_empty()) {
        if store.open_blob(&layer.digest)?.is_none() {
            return Ok(None);
        }
    }
    Ok(Some((bytes, manifest)))
}

impl Parts {
    /// The manifest: the one that the image came with, or a new one of these layers.
    pub(super) fn manifest(&self, layers: Vec<Descriptor>, form: &ImageForm) -> Document {
        if let Some((media_type, bytes)) = &self.as_it_came {
            return Document::new(media_type, bytes.clone());
        }
        let digest = BlobDigest(Digest::of(&self.config));
        let config = Descriptor::new(MediaType::Config, digest, self.config.len() as u64);
        let manifest = form.manifest(config, layers, &self.platform);
        Document::new(&manifest.media_type, manifest.to_json())
    }
}
