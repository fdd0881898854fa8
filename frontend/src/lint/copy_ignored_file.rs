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

/// The finding for a source that a pattern hides. `verb` is `Copy` or `Add`, `source` the word with its
/// variables expanded, `path` the same beneath the root of the context.
pub(crate) fn finding(
    verb: &str,
    word: &Word,
    source: &str,
    path: &str,
    patterns: &Patterns,
) -> Option<Diagnostic> {
    let Match::Excluded { line } = patterns.matches(path) else { return None };
    let message = format!("Attempting to {verb} file \"{source}\" that is excluded by .dockerignore");
    let help = patterns.pattern(line).map(|pattern| format!("line {line} excludes it: `{pattern}`"));
    Some(RULE.finding(word.span.clone(), message).with_help(help))
}
