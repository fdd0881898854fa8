//! A stage is not called like something that is always there.

use super::Rule;
use crate::ast::Dockerfile;
use crate::diagnostic::Diagnostics;

pub(super) const RULE: Rule = Rule {
    name: "ReservedStageName",
    description: "Reserved words should not be used as stage names",
    url: "https://docs.docker.com/go/dockerfile/rule/reserved-stage-name/",
    experimental: false,
};

/// Names that mean something else in the place of a stage name.
const RESERVED: [&str; 2] = ["context", "scratch"];

pub(super) fn check(dockerfile: &Dockerfile, diagnostics: &mut Diagnostics) {
    for name in dockerfile.stages.iter().filter_map(|stage| stage.from.name.as_ref()) {
        if RESERVED.contains(&name.value.as_str()) {
            let message =
                format!("Stage name should not use the same name as reserved stage \"{}\"", name.value);
            diagnostics.push(RULE.finding(name.span.clone(), message));
        }
    }
}
