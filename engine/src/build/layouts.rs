//! Named contexts that are images without a name: those of OCI layouts, and results of other builds.

use std::sync::Arc;

use cache::Layer;
use frontend::Plan;
use image::{ImageId, Platform, Reference};

use super::bases::base_image;
use crate::blocking::blocking;
use crate::ops::{BaseImage, BaseImages};
use crate::steps::Steps;
use crate::{BuildError, BuildRequest, Engine, NamedContext};

/// How such an image is called in the graph, by the place of its context among all. No registry can have it,
/// see RFC 2606, section 2.
pub(super) fn reference(index: usize) -> Reference {
    format!("oci-layout.invalid/{index}").parse().expect("a host and a number")
}

impl Engine {
    /// The images of those contexts that the plan needs.
    pub(super) async fn layouts(
        &self,
        request: &BuildRequest,
        plan: &Plan,
        steps: &Arc<Steps>,
    ) -> Result<BaseImages, BuildError> {
        let mut bases = BaseImages::default();
        for (index, (name, context)) in request.named_contexts.iter().enumerate() {
            let reference = reference(index);
            for wanted in plan.base_images().iter().filter(|wanted| wanted.reference == reference) {
                let base = self.unnamed(name, context, &wanted.platform, steps).await?;
                bases.0.insert((reference.clone(), wanted.platform.clone()), base);
            }
        }
        Ok(bases)
    }

    /// An image without a name, for a platform.
    pub(super) async fn unnamed(
        &self,
        name: &str,
        context: &NamedContext,
        platform: &Platform,
        steps: &Arc<Steps>,
    ) -> Result<BaseImage, BuildError> {
        match context {
            NamedContext::Built(images) => self.built(name, images, platform),
            context => self.layout(name, context, platform, steps).await,
        }
    }

    /// The result of another build for a platform.
    fn built(
        &self,
        context: &str,
        images: &[(Platform, ImageId)],
        platform: &Platform,
    ) -> Result<BaseImage, BuildError> {
        let is_wanted = |it: &Platform| (&it.os, &it.architecture) == (&platform.os, &platform.architecture);
        let found = images.iter().find(|(it, _)| is_wanted(it));
        let missing = || BuildError::NoResult { context: context.to_owned(), platform: platform.to_string() };
        let (_, id) = found.ok_or_else(missing)?;
        let stored = self.store.image(id)?.ok_or_else(missing)?;
        Ok(base_image(crate::images::read_config(&self.store, id)?, stored.layers))
    }

    async fn layout(
        &self,
        context_name: &str,
        context: &NamedContext,
        platform: &Platform,
        steps: &Arc<Steps>,
    ) -> Result<BaseImage, BuildError> {
        let NamedContext::Layout { path, name } = context else {
            unreachable!("only layouts and results have such names")
        };
        super::dockerfile::check_directory(path)?;
        let (store, path, name) = (self.store.clone(), path.clone(), name.clone());
        let (platform, news) = (platform.clone(), steps.clone());
        let step = steps.begin(&format!("[context {context_name}] OCI load from client"));
        let borrowed = blocking(move || {
            let on_progress = |part: &str, current, total| news.progressed(step, part, current, total);
            crate::images::borrow(&store, &path, name.as_ref(), &platform, &on_progress)
        });
        match borrowed.await {
            Ok(borrowed) => {
                steps.complete(step);
                Ok(base_image(borrowed.config, borrowed.layers.iter().map(Layer::id).collect()))
            }
            Err(source) => {
                steps.fail(step, source.to_string());
                Err(BuildError::Layout { context: context_name.to_owned(), source })
            }
        }
    }
}
