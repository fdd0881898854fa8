//! No empty line inside an instruction.

use super::Rule;
use crate::ast::Dockerfile;
use crate::diagnostic::Diagnostics;

pub(super) const RULE: Rule = Rule {
    name: "NoEmptyContinuation",
    description: "Empty continuation lines will become errors in a future release",
    url: "https://docs.docker.com/go/dockerfile/rule/no-empty-continuation/",
    experimental: false,
};

pub(super) fn check(dockerfile: &Dockerfile, diagnostics: &mut Diagnostics) {
    for &place in &dockerfile.empty_continuations {
        let help = "remove the line, or put a `#` on it".to_owned();
        diagnostics.push(RULE.finding(place..place, "Empty continuation line").with_help(help));
    }
}
