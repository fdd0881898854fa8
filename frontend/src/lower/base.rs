//! What a stage takes over from what it starts from.

use std::ops::Range;

use graph::VertexId;
use image::{ImageConfig, Platform, Reference, RootFs};
use serde_json::Value;

use super::Lowering;
use crate::ast::Stage;
use crate::diagnostic::Diagnostic;
use crate::lint;
use crate::plan::Origin;

/// Fields of a base config that describe its platform and stay.
const KEPT_FIELDS: [&str; 2] = ["os.version", "os.features"];

impl Lowering<'_> {
    /// What a stage inherits of the config of its base image.
    pub(super) fn image_config(
        &mut self,
        key: &(Reference, Platform),
        name: &str,
        stage: &Stage,
    ) -> Result<ImageConfig, Box<Diagnostic>> {
        let (base, (_, platform)) = (&stage.from.base, key);
        let config = match self.bases.get(key) {
            Some(config) => config.clone(),
            None if self.purpose.is_question() => ImageConfig::empty(platform),
            None => {
                let message = format!("the image `{name}` is not resolved");
                return Err(Box::new(Diagnostic::error("UnresolvedImage", base.span.clone(), message)));
            }
        };
        let misfit = lint::invalid_base_image_platform(base, name, platform, &config.platform());
        misfit.into_iter().for_each(|finding| self.diagnostics.push(finding));
        Ok(base_config(&config))
    }

    /// A stage cannot continue a context, which is no layer: its files are copied.
    pub(super) fn base_files(
        &mut self,
        origin: &Origin,
        span: &Range<usize>,
    ) -> Result<VertexId, Box<Diagnostic>> {
        let files = self.origin(origin, span)?;
        Ok(match origin {
            Origin::Context(_) => self.mountable(files, "/", None),
            _ => files,
        })
    }
}

/// The part of a base's config that its children inherit.
fn base_config(base: &ImageConfig) -> ImageConfig {
    let mut config = base.clone();
    config.created = None;
    config.rootfs = RootFs::default();
    config.config.on_build.clear();
    config.config.extra.clear();
    config.extra.retain(|name, value| KEPT_FIELDS.contains(&name.as_str()) && *value != Value::Null);
    config
}
