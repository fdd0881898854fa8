//! A base is a name also when no build argument is given.

use std::collections::HashSet;

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
    let names = stages.dockerfile.stages.iter().filter_map(|stage| stage.from.name.as_ref());
    let names: HashSet<&str> = names.map(|name| name.value.as_str()).collect();
    // A base without a variable that is no name is an error, and told elsewhere.
    let bases = stages.dockerfile.stages.iter().map(|stage| &stage.from.base);
    for base in bases.filter(|base| base.value.contains('$')) {
        let Ok(substituted) = substitute(&base.value, stages.dockerfile.escape, stages.default_args) else {
            return;
        };
        let text = substituted.expansion.text;
        let is_stage = names.contains(text.to_lowercase().as_str());
        if !is_stage && text.parse::<Reference>().is_err() {
            let message =
                format!("Default value for ARG {} results in empty or invalid base image name", base.value);
            diagnostics.push(RULE.finding(base.span.clone(), message));
        }
    }
}
