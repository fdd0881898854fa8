//! The base is for the platform that the stage is for.

use image::Platform;

use super::Rule;
use crate::ast::Word;
use crate::diagnostic::Diagnostic;

pub(super) const RULE: Rule = Rule {
    name: "InvalidBaseImagePlatform",
    description: "Base image platform does not match expected target platform",
    url: "",
    experimental: false,
};

/// The finding for a base that is for another system or processor; none when it fits.
pub(crate) fn finding(base: &Word, name: &str, expected: &Platform, actual: &Platform) -> Option<Diagnostic> {
    if expected.os == actual.os && expected.architecture == actual.architecture {
        return None;
    }
    let message = format!(
        "Base image {name} was pulled with platform \"{actual}\", expected \"{expected}\" for current build"
    );
    Some(RULE.finding(base.span.clone(), message))
}
