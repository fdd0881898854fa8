//! Finds the base images of a build: in the store, or in their registries.

use std::sync::Arc;

use cache::LayerId;
use frontend::{BaseImage as Wanted, Diagnostic, Plan};
use futures_util::future::try_join_all;
use image::{Descriptor, DiffId, Digest, ImageConfig, ImageId, Platform, Reference};

use super::dockerfile::Source;
use crate::images::{
    Described, ImageError, Naming, OnTransfer, PullRequest, Stage, Transfer, describe_image, platforms,
    with_digest,
};
use crate::ops::{BaseImage, BaseImages, Layers, Output};
use crate::remote_cache::{AwayBase, AwayLayer, AwayLayers, Link, Origin};
use crate::space::Attempts;
use crate::steps::Steps;
use crate::{BuildError, Engine, PullPolicy, StepId};

/// The Dockerfile that asks for base images, and where the progress goes.
pub(super) struct Asking<'a> {
    /// None for a build without a Dockerfile.
    pub(super) plan: Option<&'a Plan>,
    pub(super) source: &'a Source,
    pub(super) steps: &'a Arc<Steps>,
    pub(super) pull: PullPolicy,
    /// Whether layers that are not here may stay away until a step needs them: a remote cache may have its result.
    pub(super) may_stay_away: bool,
}

impl Asking<'_> {
    /// A message at the line that asks for an image.
    fn render(&self, wanted: &Wanted, cause: &str) -> String {
        let diagnostic = match self.plan {
            Some(plan) => plan.unresolved_image(wanted, cause),
            None => {
                let message = format!("cannot resolve `{}`: {cause}", wanted.name);
                Diagnostic::error("UnresolvedImage", wanted.span.clone(), message)
            }
        };
        frontend::render(&diagnostic, &self.source.name, &self.source.text)
    }
}

impl Engine {
    /// Resolves every image that the target stands on or copies from, those of ONBUILD triggers included. Those that
    /// have to be pulled are pulled at the same time. Those of `bases` are known already.
    pub(super) async fn resolve(
        &self,
        asking: &Asking<'_>,
        mut bases: BaseImages,
    ) -> Result<BaseImages, BuildError> {
        let Some(plan) = asking.plan else { return Ok(bases) };
        loop {
            let missing = plan
                .missing_images(&bases.configs())
                .map_err(|diagnostics| asking.source.errors(&diagnostics))?;
            if missing.is_empty() {
                return Ok(bases);
            }
            let found = missing.into_iter().map(|wanted| self.resolve_in_step(asking, wanted));
            for (wanted, base) in try_join_all(found).await? {
                bases.0.insert((wanted.reference, wanted.platform), base);
            }
        }
    }

    pub(super) async fn resolve_in_step(
        &self,
        asking: &Asking<'_>,
        wanted: Wanted,
    ) -> Result<(Wanted, BaseImage), BuildError> {
        let step = asking.steps.begin(&format!("[internal] load metadata for {}", wanted.reference));
        match self.resolve_one(asking, &wanted, step).await {
            Ok(base) => {
                asking.steps.complete(step);
                Ok((wanted, base))
            }
            Err(error) => {
                asking.steps.fail(step, error.to_string());
                Err(error)
            }
        }
    }

    async fn resolve_one(
        &self,
        asking: &Asking<'_>,
        wanted: &Wanted,
        step: StepId,
    ) -> Result<BaseImage, BuildError> {
        let here = |base: &BaseImage| {
            let found = base.config.platform();
            (found.os == wanted.platform.os && found.architecture == wanted.platform.architecture)
                .then_some(())
                .ok_or(found)
        };
        let stored = self.stored_base(wanted)?;
        let is_usable = stored.as_ref().is_some_and(|base| here(base).is_ok());
        // A digest says for good which image it is.
        let is_settled = asking.pull != PullPolicy::Always || wanted.reference.digest().is_some();
        if asking.pull != PullPolicy::Never && !(is_usable && is_settled) {
            // What cannot be described cannot be pulled either, and the pull says why.
            if asking.may_stay_away
                && let Ok(base) = self.describe_base(asking, wanted).await
            {
                return Ok(base);
            }
            self.pull_base(asking, wanted, step).await?;
        }
        let base = self.stored_base(wanted)?.ok_or_else(|| BuildError::NoImage {
            reference: wanted.reference.clone(),
            rendered: asking.render(wanted, "it is not in the store"),
        })?;
        here(&base).map_err(|found| {
            let (found, platform) = (found.to_string(), wanted.platform.to_string());
            let rendered = asking.render(wanted, &format!("it is for {found}, the build is for {platform}"));
            BuildError::WrongPlatform {
                reference: wanted.reference.clone(),
                found,
                wanted: platform,
                rendered,
            }
        })?;
        Ok(base)
    }

    async fn pull_base(&self, asking: &Asking<'_>, wanted: &Wanted, step: StepId) -> Result<(), BuildError> {
        let steps = asking.steps.clone();
        let on_transfer: OnTransfer = Arc::new(move |transfer| tell(&steps, step, &transfer));
        let request = PullRequest {
            reference: wanted.reference.clone(),
            platform: Some(wanted.platform.clone()),
            naming: Naming::KeepOther,
        };
        let mut attempts = Attempts::default();
        loop {
            let Err(source) = self.pull(&request, &on_transfer).await else { return Ok(()) };
            let error = BuildError::Pull {
                reference: wanted.reference.clone(),
                rendered: asking.render(wanted, &source.to_string()),
                source: Box::new(source),
            };
            if !attempts.again(&self.store, &error).await {
                return Err(error);
            }
        }
    }

    /// A base image without its layers, which come with the first step that needs one of them.
    async fn describe_base(&self, asking: &Asking<'_>, wanted: &Wanted) -> Result<BaseImage, ImageError> {
        let Wanted { reference, platform, .. } = wanted;
        let (named, Described { manifest, parsed, config, .. }) =
            describe_image(self, reference, platform).await?;
        let base = Arc::new(AwayBase {
            reference: reference.clone(),
            by_digest: with_digest(reference, named),
            platform: platform.clone(),
            rendered: asking.render(wanted, "its layers do not come"),
        });
        let pairs = config.rootfs.diff_ids.iter().zip(parsed.layers);
        let link = |(diff_id, blob): (&DiffId, Descriptor)| {
            if let Some(here) = self.store.layer_by_diff_id(diff_id)? {
                return Ok(Link::Here(here.id()));
            }
            let (diff_id, origin) = (*diff_id, Origin::Base(base.clone()));
            Ok(Link::Away(Arc::new(AwayLayer { diff_id, blob, epoch: None, origin })))
        };
        let links = pairs.map(link).collect::<Result<Arc<[_]>, cache::StoreError>>()?;
        let created_unix_ns = created_unix_ns(&config);
        let digest = Some(manifest.descriptor.digest.0);
        let output = Output::Away(AwayLayers { links, created_unix_ns, record: None });
        Ok(BaseImage { config, output, digest, named: Some(named) })
    }

    /// The config of an image for a platform, and the digest that its name stands for. Its layers stay where they are.
    ///
    /// # Errors
    ///
    /// When the image is neither here nor in its registry.
    pub async fn image_config(
        &self,
        reference: &Reference,
        platform: &Platform,
        pull: PullPolicy,
    ) -> Result<(Digest, ImageConfig), BuildError> {
        let (reference, platform) = (reference.clone(), platform.clone());
        let wanted = Wanted { span: 0..0, name: reference.to_string(), reference, platform };
        if pull != PullPolicy::Always
            && let Some(base) = self.stored_base(&wanted)?
        {
            let found = base.config.platform();
            let is_it =
                (&found.os, &found.architecture) == (&wanted.platform.os, &wanted.platform.architecture);
            if let (true, Some(digest)) = (is_it, base.digest) {
                return Ok((digest, base.config));
            }
        }
        let described = describe_image(self, &wanted.reference, &wanted.platform).await;
        let (digest, described) = described.map_err(|source| BuildError::Pull {
            reference: wanted.reference.clone(),
            rendered: String::new(),
            source: Box::new(source),
        })?;
        Ok((digest, described.config))
    }

    fn stored_base(&self, wanted: &Wanted) -> Result<Option<BaseImage>, BuildError> {
        let id = match crate::images::resolve(&self.store, &wanted.reference) {
            Ok(id) => id,
            Err(ImageError::Store(error)) => return Err(error.into()),
            Err(error) => return Err(error.into()),
        };
        let Some(id) = self.for_platform(wanted, id)? else { return Ok(None) };
        let Some(stored) = self.store.image(&id)? else { return Ok(None) };
        let config = crate::images::read_config(&self.store, &id)?;
        let digest = stored.manifest.map_or(id.0, |manifest| manifest.0);
        let named = wanted.reference.digest().copied();
        Ok(Some(BaseImage { digest: Some(digest), named, ..base_image(config, stored.layers) }))
    }

    /// The image that a name means, unless that is for another platform and the name has one for the right one.
    fn for_platform(&self, wanted: &Wanted, named: Option<ImageId>) -> Result<Option<ImageId>, BuildError> {
        if let Some(id) = named {
            let found = crate::images::read_config(&self.store, &id)?.platform();
            let wanted = &wanted.platform;
            if (&found.os, &found.architecture) == (&wanted.os, &wanted.architecture) {
                return Ok(Some(id));
            }
        }
        Ok(platforms::find(&self.store, &wanted.reference, &wanted.platform)?.or(named))
    }
}

pub(super) fn base_image(config: ImageConfig, layers: Vec<LayerId>) -> BaseImage {
    let created_unix_ns = created_unix_ns(&config);
    let output = Output::Layers(Layers { ids: layers.into(), created_unix_ns });
    BaseImage { config, output, digest: None, named: None }
}

fn created_unix_ns(config: &ImageConfig) -> i64 {
    let created = config.created.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
    created.map_or(0, |time| i64::try_from(time.as_nanosecond()).unwrap_or_default())
}

/// Shows the news of a pull as parts of the step that needs it.
fn tell(steps: &Steps, step: StepId, transfer: &Transfer) {
    let layer = &transfer.layer;
    match transfer.stage {
        Stage::Downloading { current, total } => steps.progressed(step, layer, current, Some(total)),
        Stage::Extracting { current, total } => {
            steps.progressed(step, &format!("extracting {layer}"), current, Some(total));
        }
        _ => {}
    }
}
