//! `--change` of `import`: Dockerfile instructions that only change the config.

use std::collections::BTreeMap;

use frontend::{Diagnostic, Parsed, PlanOptions};
use image::{ImageConfig, Platform, Reference, RunConfig};

use super::ImageError;

/// The instructions that `docker import` and `docker commit` take.
pub(super) const ALLOWED: [&str; 11] = [
    "CMD",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "HEALTHCHECK",
    "LABEL",
    "ONBUILD",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];
/// The image that the changes are made to, in the Dockerfile that they become. It stands for an empty one.
const BASE: &str = "imported.invalid/image";
/// Stands for no PATH: a build would add one to an image without, an import does not.
const NO_PATH: &str = "/imported.invalid/no/path";

/// What the changes make of an empty config: they are lowered as a Dockerfile, so that they mean there and
/// here the same.
///
/// # Errors
///
/// [`ImageError::Change`] for another instruction, [`ImageError::ChangeText`] for one that is wrong.
pub(super) fn run_config(changes: &[String], platform: &Platform) -> Result<RunConfig, ImageError> {
    let mut empty = ImageConfig::empty(platform);
    if changes.is_empty() {
        return Ok(RunConfig::default());
    }
    empty.config.set_env("PATH", NO_PATH);
    let mut config = run_config_on(changes, empty)?;
    config.env.retain(|pair| *pair != format!("PATH={NO_PATH}"));
    for pair in &mut config.env {
        *pair = pair.replace(NO_PATH, "");
    }
    Ok(config)
}

/// What the changes make of the config of an image.
///
/// # Errors
///
/// As those of [`run_config`].
pub(crate) fn run_config_on(changes: &[String], mut base: ImageConfig) -> Result<RunConfig, ImageError> {
    if changes.is_empty() {
        return Ok(base.config);
    }
    let platform = base.platform();
    // Nothing is built: its triggers stay triggers.
    let mut triggers = std::mem::take(&mut base.config.on_build);
    let text = format!("FROM {BASE}\n{}\n", changes.join("\n"));
    let wrong = |diagnostics: Vec<Diagnostic>| wrong(&diagnostics, &text);
    let Parsed { dockerfile, diagnostics, broken: _ } = frontend::parse(&text);
    let keywords =
        dockerfile.stages.iter().flat_map(|stage| &stage.instructions).map(|found| &found.keyword.value);
    if let Some(keyword) = keywords.into_iter().find(|keyword| !is_allowed(keyword)) {
        return Err(ImageError::Change { instruction: keyword.clone().into_owned() });
    }
    if dockerfile.stages.len() != 1 {
        return Err(ImageError::Change { instruction: "FROM".to_owned() });
    }
    if diagnostics.iter().any(Diagnostic::is_error) {
        return Err(wrong(diagnostics));
    }
    let plan = frontend::plan(&dockerfile, &PlanOptions::new(platform.clone())).map_err(wrong)?;
    let reference: Reference = BASE.parse().expect("it is a constant name");
    let bases = BTreeMap::from([((reference, platform), base)]);
    let mut config = plan.lower(&bases).map_err(wrong)?.config.config;
    triggers.append(&mut config.on_build);
    config.on_build = triggers;
    Ok(config)
}

fn is_allowed(keyword: &str) -> bool {
    ALLOWED.iter().any(|allowed| allowed.eq_ignore_ascii_case(keyword))
}

/// The first error with the change that it is in; the line of the base image is not the user's.
fn wrong(diagnostics: &[Diagnostic], text: &str) -> ImageError {
    let Some(first) = diagnostics.iter().find(|diagnostic| diagnostic.is_error()) else {
        return ImageError::ChangeText { message: "nothing is said about why".to_owned() };
    };
    let (line, _) = frontend::position(text, first.span.start);
    let change = text.lines().nth(line - 1).unwrap_or_default();
    let help = first.help.as_ref().map(|help| format!(" ({help})")).unwrap_or_default();
    ImageError::ChangeText { message: format!("`{change}`: {}{help}", first.message) }
}
