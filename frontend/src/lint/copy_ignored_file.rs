//! What is copied from the context is not hidden by the ignore file.

use super::Rule;
use crate::ast::Word;
use crate::diagnostic::Diagnostic;
use crate::ignore::{Match, Patterns};

pub(super) const RULE: Rule = Rule {
    name: "CopyIgnoredFile",
    description: "Attempting to Copy file that is excluded by .dockerignore",
    url: "https://docs.docker.com/go/dockerfile/rule/copy-ignored-file/",
    experimental: true,
};

/// The finding for a source that a pattern hides. `verb` is `Copy` or `Add`, `path` the word with its variables
/// expanded, beneath the root of the context. As in BuildKit nothing is said when a pattern brings something
/// back: a directory that is hidden may then have files.
pub(crate) fn finding(verb: &str, word: &Word, path: &str, patterns: &Patterns) -> Option<Diagnostic> {
    if patterns.has_exception() {
        return None;
    }
    let path = path.trim_matches('/');
    let (shown, line) = match path {
        "" | "." => (".", patterns.hiding_everything()?),
        path => match patterns.matches(path) {
            Match::Excluded { line } => (path, line),
            Match::Included => return None,
        },
    };
    let message = format!("Attempting to {verb} file \"{shown}\" that is excluded by .dockerignore");
    let help = patterns.pattern(line).map(|pattern| format!("line {line} excludes it: `{pattern}`"));
    Some(RULE.finding(word.span.clone(), message).with_help(help))
}
