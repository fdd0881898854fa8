//! Finds the base images of a build in the store.

use frontend::{BaseImage as Wanted, Plan};

use super::dockerfile::Source;
use crate::ops::{BaseImage, BaseImages};
use crate::steps::Steps;
use crate::{BuildError, Engine};

impl Engine {
    /// Resolves every image that the target stands on or copies from, those of ONBUILD triggers included.
    pub(super) fn resolve(
        &self,
        plan: &Plan,
        source: &Source,
        steps: &Steps,
    ) -> Result<BaseImages, BuildError> {
        let mut bases = BaseImages::default();
        loop {
            let missing =
                plan.missing_images(&bases.configs()).map_err(|diagnostics| source.errors(&diagnostics))?;
            if missing.is_empty() {
                return Ok(bases);
            }
            for wanted in missing {
                let step = steps.begin(&format!("[internal] load metadata for {}", wanted.reference));
                let render = |cause: &str| {
                    frontend::render(&plan.unresolved_image(&wanted, cause), &source.name, &source.text)
                };
                match self.resolve_one(&wanted, &render) {
                    Ok(base) => {
                        bases.0.insert((wanted.reference, wanted.platform), base);
                        steps.complete(step);
                    }
                    Err(error) => {
                        steps.fail(step, error.to_string());
                        return Err(error);
                    }
                }
            }
        }
    }

    fn resolve_one(&self, wanted: &Wanted, render: &dyn Fn(&str) -> String) -> Result<BaseImage, BuildError> {
        let reference = &wanted.reference;
        let missing = || BuildError::NoImage {
            reference: reference.clone(),
            rendered: render("it is not in the store"),
        };
        let id = self.store.resolve(reference)?.ok_or_else(missing)?;
        let stored = self.store.image(&id)?.ok_or_else(missing)?;
        let config = crate::images::read_config(&self.store, &id)?;
        let (found, wanted) = (config.platform(), &wanted.platform);
        if found.os != wanted.os || found.architecture != wanted.architecture {
            let (found, wanted) = (found.to_string(), wanted.to_string());
            let rendered = render(&format!("it is for {found}, the build is for {wanted}"));
            return Err(BuildError::WrongPlatform { reference: reference.clone(), found, wanted, rendered });
        }
        let created = config.created.as_deref().and_then(|text| text.parse::<jiff::Timestamp>().ok());
        let created_unix_ns =
            created.map_or(0, |time| i64::try_from(time.as_nanosecond()).unwrap_or_default());
        Ok(BaseImage { config, layers: stored.layers.into(), created_unix_ns })
    }
}
