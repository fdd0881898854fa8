//! A stage for one platform says so in its name.

use image::Platform;

use super::{Rule, Stages, substitute};
use crate::diagnostic::Diagnostics;

pub(super) const RULE: Rule = Rule {
    name: "FromPlatformFlagConstDisallowed",
    description: "FROM --platform flag should not use a constant value",
    url: "https://docs.docker.com/go/dockerfile/rule/from-platform-flag-const-disallowed/",
    experimental: false,
};

pub(super) fn check(stages: &Stages<'_>, diagnostics: &mut Diagnostics) {
    for stage in &stages.dockerfile.stages {
        let Some(word) = &stage.from.platform else { continue };
        let Ok(substituted) = substitute(&word.value, stages.dockerfile.escape, stages.global_args) else {
            continue;
        };
        if !substituted.used.is_empty() || !substituted.expansion.unset.is_empty() {
            continue;
        }
        // What is no platform is an error, and told elsewhere.
        let Ok(platform) = substituted.expansion.text.parse::<Platform>() else { continue };
        let name = stage.from.name.as_ref().map_or("", |name| name.value.as_str());
        if !name.contains(&platform.os) && !name.contains(&platform.architecture) {
            let message = format!(
                "FROM --platform flag should not use constant value \"{}\"",
                substituted.expansion.text
            );
            diagnostics.push(RULE.finding(word.span.clone(), message));
        }
    }
}
