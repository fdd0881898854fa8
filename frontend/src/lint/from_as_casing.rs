//! `FROM` and `AS` are written alike.

use super::Rule;
use crate::ast::Dockerfile;
use crate::diagnostic::Diagnostics;

pub(super) const RULE: Rule = Rule {
    name: "FromAsCasing",
    description: "The 'as' keyword should match the case of the 'from' keyword",
    url: "https://docs.docker.com/go/dockerfile/rule/from-as-casing/",
    experimental: false,
};

pub(super) fn check(dockerfile: &Dockerfile, diagnostics: &mut Diagnostics) {
    for stage in &dockerfile.stages {
        let Some(keyword) = &stage.from.as_keyword else { continue };
        let (from, written) = (&stage.keyword.value, &keyword.value);
        // A `From` is the business of the rule about instructions.
        let expected = if *from == from.to_lowercase() {
            written.to_lowercase()
        } else if *from == from.to_uppercase() {
            written.to_uppercase()
        } else {
            continue;
        };
        if *written != expected {
            let message = format!("'{written}' and '{from}' keywords' casing do not match");
            let help = format!("write `{expected}`");
            diagnostics.push(RULE.finding(keyword.span.clone(), message).with_help(help));
        }
    }
}
