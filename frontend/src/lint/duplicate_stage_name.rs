//! Every stage has a name of its own.

use std::collections::HashMap;

use super::Rule;
use crate::ast::Dockerfile;
use crate::diagnostic::Diagnostics;

pub(super) const RULE: Rule = Rule {
    name: "DuplicateStageName",
    description: "Stage names should be unique",
    url: "https://docs.docker.com/go/dockerfile/rule/duplicate-stage-name/",
    experimental: false,
};

pub(super) fn check(dockerfile: &Dockerfile, diagnostics: &mut Diagnostics) {
    let mut seen = HashMap::new();
    for name in dockerfile.stages.iter().filter_map(|stage| stage.from.name.as_ref()) {
        if let Some(first) = seen.get(&name.value) {
            let message = format!("Duplicate stage name \"{}\", stage names should be unique", name.value);
            let finding = RULE.finding(name.span.clone(), message);
            diagnostics.push(finding.with_secondary(std::ops::Range::clone(first), "first here"));
        }
        seen.entry(name.value.clone()).or_insert_with(|| name.span.clone());
    }
}
