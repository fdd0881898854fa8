//! What is copied from the context is not hidden by the ignore file.

use super::Rule;
use crate::ast::Word;
use crate::diagnostic::Diagnostic;
use crate::ignore::{Match, Patterns};
use crate::lower::clean;

pub(super) const RULE: Rule = Rule {
    name: "CopyIgnoredFile",
    description: "Attempting to Copy file that is excluded by .dockerignore",
    url: "https://docs.docker.com/go/dockerfile/rule/copy-ignored-file/",
    experimental: true,
};

/// The finding for a source that a pattern hides. `verb` is `Copy` or `Add`, `path` the word with its variables
/// expanded. As in BuildKit nothing is said when a pattern brings something back: a directory that is hidden may then have
/// files; and a path with a slash or `..` in front is another than the one that a pattern names.
pub(crate) fn finding(verb: &str, word: &Word, path: &str, patterns: &Patterns) -> Option<Diagnostic> {
    if patterns.has_exception() {
        return None;
    }
    let path = clean(path);
    let line = match (path.as_str(), patterns.matches(&path)) {
        ("." | "/", _) => patterns.hiding_everything()?,
        (_, Match::Excluded { line }) => line,
        // The directory above has no name, which such a pattern matches too.
        (_, Match::Included) => patterns.hiding_everything().filter(|_| path.starts_with('/'))?,
    };
    let message = format!("Attempting to {verb} file \"{path}\" that is excluded by .dockerignore");
    let help = patterns.pattern(line).map(|pattern| format!("line {line} excludes it: `{pattern}`"));
    Some(RULE.finding(word.span.clone(), message).with_help(help))
}
