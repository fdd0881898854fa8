//! Mistakes in the words of BuildKit, for programs that look for them.

use super::Inquiry;
use crate::Diagnostic;

/// Mistakes that BuildKit finds while it cuts the whole text into instructions, before it reads any of them.
const CUTTING: [&str; 7] = [
    "DuplicateDirective",
    "Empty",
    "InvalidEscape",
    "InvalidPair",
    "MissingValue",
    "NotStrings",
    "UnterminatedHereDocument",
];

/// Mistakes in front of which BuildKit does not say on which line they are.
const WITHOUT_LINE: [&str; 2] = ["InvalidMountKey", "NoStage"];

/// Mistakes that BuildKit finds while it reads an instruction, and this program when the stage is planned.
const READING: [&str; 1] = ["InvalidDevice"];

/// The mistake that BuildKit meets first.
pub(super) fn first<'e>(errors: &'e [Diagnostic], inquiry: &Inquiry) -> Option<&'e Diagnostic> {
    let is_cutting = |error: &&Diagnostic| CUTTING.contains(&error.rule);
    let found = errors.iter().find(|error| inquiry.parsed.has_errors() && is_cutting(error));
    found.or_else(|| errors.first())
}

/// The message of a mistake as the JSON of a check has it: BuildKit's, where it has words for it. `line` is that of its
/// instruction.
pub(super) fn message(error: &Diagnostic, inquiry: &Inquiry, line: Option<usize>) -> String {
    if inquiry.source.text.is_empty() {
        return "the Dockerfile cannot be empty".to_owned();
    }
    let said = error.buildkit.as_deref().unwrap_or(&error.message);
    let is_read = inquiry.parsed.has_errors() || READING.contains(&error.rule);
    let has_line = is_read && ![&CUTTING[..], &WITHOUT_LINE].concat().contains(&error.rule);
    match line.filter(|_| has_line) {
        Some(line) => format!("dockerfile parse error on line {line}: {said}"),
        None => said.to_owned(),
    }
}
