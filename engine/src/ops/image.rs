//! Base images: layers that are known before anything runs.

use std::collections::{BTreeMap, HashMap};

use cache::LayerId;
use graph::ImageSource;
use image::{DiffId, Digest, Hasher, ImageConfig, Platform, Reference};
use solver::Identity;

use super::Output;
use crate::remote_cache::Link;

/// A base image of a build, resolved.
#[derive(Clone)]
pub(crate) struct BaseImage {
    pub(crate) config: ImageConfig,
    /// Its layers, in the store or in its registry.
    pub(crate) output: Output,
    /// Of the manifest that it came with, else of its config; none for an image of a layout.
    pub(crate) digest: Option<Digest>,
    /// What its name stands for, which is its manifest or a list with that, as far as that is known.
    pub(crate) named: Option<Digest>,
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
        Identity { digest: Some(digest), output: Some(base.output.clone()) }
    }

    /// Their layers, by what their configs call them.
    pub(crate) fn links(&self) -> HashMap<DiffId, Link> {
        let mut links = HashMap::new();
        for base in self.0.values() {
            links.extend(base.config.rootfs.diff_ids.iter().copied().zip(base.output.links()));
        }
        links
    }

    /// What their configs call those of their layers that are here.
    pub(crate) fn diff_ids(&self) -> HashMap<LayerId, DiffId> {
        let here = |(diff_id, link)| match link {
            Link::Here(id) => Some((id, diff_id)),
            Link::Away(_) => None,
        };
        self.links().into_iter().filter_map(here).collect()
    }
}
