//! Base images: layers that are in the store already.

use std::collections::BTreeMap;
use std::sync::Arc;

use cache::LayerId;
use graph::ImageSource;
use image::{Digest, Hasher, ImageConfig, Platform, Reference};
use solver::Identity;

use super::{Layers, Output};

/// A base image of a build, resolved.
#[derive(Clone)]
pub(crate) struct BaseImage {
    pub(crate) config: ImageConfig,
    pub(crate) layers: Arc<[LayerId]>,
    pub(crate) created_unix_ns: i64,
    /// Of the manifest that it came with, else of its config; none for an image of a layout.
    pub(crate) digest: Option<Digest>,
}

/// The base images of a build.
#[derive(Clone, Default)]
pub(crate) struct BaseImages(pub(crate) BTreeMap<(Reference, Platform), BaseImage>);

impl BaseImages {
    /// The configs, for lowering.
    pub(crate) fn configs(&self) -> BTreeMap<(Reference, Platform), ImageConfig> {
        self.0.iter().map(|(key, base)| (key.clone(), base.config.clone())).collect()
    }

    pub(crate) fn get(&self, source: &ImageSource) -> &BaseImage {
        self.0
            .get(&(source.reference.clone(), source.platform.clone()))
            .expect("every image of the graph was resolved before lowering")
    }

    /// An image is the layers that it consists of, whatever its name.
    pub(super) fn identify(&self, source: &ImageSource) -> Identity<Output> {
        let base = self.get(source);
        let diff_ids = base.config.rootfs.diff_ids.iter().map(|diff_id| diff_id.0.0);
        let digest = Hasher::new("image-layers/v1").list("diff ids", diff_ids).finish();
        let layers = Layers { ids: base.layers.clone(), created_unix_ns: base.created_unix_ns };
        Identity { digest: Some(digest), output: Some(Output::Layers(layers)) }
    }
}
