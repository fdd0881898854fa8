//! All instructions are in upper case, or all in lower case: the majority decides.

use super::Rule;
use crate::ast::{Dockerfile, Keyword};
use crate::diagnostic::Diagnostics;

pub(super) const RULE: Rule = Rule {
    name: "ConsistentInstructionCasing",
    description: "All commands within the Dockerfile should use the same casing (either upper or lower)",
    url: "https://docs.docker.com/go/dockerfile/rule/consistent-instruction-casing/",
    experimental: false,
};

pub(super) fn check(dockerfile: &Dockerfile, diagnostics: &mut Diagnostics) {
    let lower = keywords(dockerfile).filter(|keyword| is_lower(keyword)).count();
    let upper = keywords(dockerfile).filter(|keyword| is_upper(keyword)).count();
    let (expected, is_expected): (_, fn(&Keyword) -> bool) =
        if lower > upper { ("lowercase", is_lower) } else { ("uppercase", is_upper) };
    for keyword in keywords(dockerfile).filter(|keyword| !is_expected(keyword)) {
        let message =
            format!("Command '{}' should match the case of the command majority ({expected})", keyword.value);
        diagnostics.push(RULE.finding(keyword.span.clone(), message));
    }
}

/// The keywords of all stages; those in front of the first `FROM` do not count.
fn keywords(dockerfile: &Dockerfile) -> impl Iterator<Item = &Keyword> {
    dockerfile.stages.iter().flat_map(|stage| {
        std::iter::once(&stage.keyword).chain(stage.instructions.iter().map(|it| &it.keyword))
    })
}

fn is_lower(keyword: &Keyword) -> bool {
    keyword.value == keyword.value.to_lowercase()
}

fn is_upper(keyword: &Keyword) -> bool {
    keyword.value == keyword.value.to_uppercase()
}
