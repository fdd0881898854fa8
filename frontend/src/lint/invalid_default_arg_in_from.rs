//! A base is a name also when no build argument is given.

use image::Reference;

use super::{Rule, Stages, substitute};
use crate::diagnostic::Diagnostics;

pub(super) const RULE: Rule = Rule {
    name: "InvalidDefaultArgInFrom",
    description: "Default value for global ARG results in an empty or invalid base image name",
    url: "https://docs.docker.com/go/dockerfile/rule/invalid-default-arg-in-from/",
    experimental: false,
};

pub(super) fn check(stages: &Stages<'_>, diagnostics: &mut Diagnostics) {
    for base in stages.dockerfile.stages.iter().map(|stage| &stage.from.base) {
        let Ok(substituted) = substitute(&base.value, stages.dockerfile.escape, stages.default_args) else {
            return;
        };
        if substituted.expansion.text.parse::<Reference>().is_err() {
            let message =
                format!("Default value for ARG {} results in empty or invalid base image name", base.value);
            diagnostics.push(RULE.finding(base.span.clone(), message));
        }
    }
}
