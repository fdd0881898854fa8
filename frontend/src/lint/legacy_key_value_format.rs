//! `ENV` and `LABEL` are written with `=`.

use super::Rule;
use crate::ast::{Keyword, Pair};
use crate::diagnostic::Diagnostic;

pub(super) const RULE: Rule = Rule {
    name: "LegacyKeyValueFormat",
    description: "Legacy key/value format with whitespace separator should not be used",
    url: "https://docs.docker.com/go/dockerfile/rule/legacy-key-value-format/",
    experimental: false,
};

/// The finding for a pair in the old form.
pub(crate) fn finding(keyword: &Keyword, pair: &Pair) -> Diagnostic {
    let keyword = &keyword.value;
    let message =
        format!("\"{keyword} key=value\" should be used instead of legacy \"{keyword} key value\" format");
    let value = if pair.value.value.contains(char::is_whitespace) { "\"...\"" } else { &pair.value.value };
    RULE.finding(pair.name.span.start..pair.value.span.end, message)
        .with_help(format!("write `{keyword} {}={value}`", pair.name.value))
}
