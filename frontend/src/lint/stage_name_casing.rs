//! Names of stages are written in lower case.

use super::Rule;
use crate::ast::Dockerfile;
use crate::diagnostic::Diagnostics;

pub(super) const RULE: Rule = Rule {
    name: "StageNameCasing",
    description: "Stage names should be lowercase",
    url: "https://docs.docker.com/go/dockerfile/rule/stage-name-casing/",
    experimental: false,
};

pub(super) fn check(dockerfile: &Dockerfile, diagnostics: &mut Diagnostics) {
    for stage in &dockerfile.stages {
        let (Some(name), Some(written)) = (&stage.from.name, &stage.from.written_name) else { continue };
        if name.value != *written {
            let message = format!("Stage name '{written}' should be lowercase");
            let help = format!("write `{}`", name.value);
            diagnostics.push(RULE.finding(name.span.clone(), message).with_help(help));
        }
    }
}
