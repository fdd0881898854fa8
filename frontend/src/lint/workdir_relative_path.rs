//! The first `WORKDIR` is absolute: a relative one depends on the base image.

use super::Rule;
use crate::ast::Word;
use crate::diagnostic::Diagnostic;

pub(super) const RULE: Rule = Rule {
    name: "WorkdirRelativePath",
    description: "Relative workdir without an absolute workdir declared within the build can have unexpected results if the base image changes",
    url: "https://docs.docker.com/go/dockerfile/rule/workdir-relative-path/",
    experimental: false,
};

/// The finding for the first `WORKDIR` of a stage; `path` has its variables expanded.
pub(crate) fn finding(word: &Word, path: &str) -> Diagnostic {
    let message =
        format!("Relative workdir \"{path}\" can have unexpected results if the base image changes");
    RULE.finding(word.span.clone(), message)
}
