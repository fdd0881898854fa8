//! `CMD` and `ENTRYPOINT` are written as JSON: signals then reach the program and not a shell around it.
//!
//! Who chooses a shell with `SHELL` is not asked again.

use super::Rule;
use crate::ast::Keyword;
use crate::diagnostic::Diagnostic;

pub(super) const RULE: Rule = Rule {
    name: "JSONArgsRecommended",
    description: "JSON arguments recommended for ENTRYPOINT/CMD to prevent unintended behavior related to OS signals",
    url: "https://docs.docker.com/go/dockerfile/rule/json-args-recommended/",
    experimental: false,
};

/// The finding for an instruction in shell form.
pub(crate) fn finding(keyword: &Keyword) -> Diagnostic {
    let message = format!(
        "JSON arguments recommended for {} to prevent unintended behavior related to OS signals",
        keyword.value
    );
    let help = format!("write `{} [\"program\", \"argument\"]`", keyword.value);
    RULE.finding(keyword.span.clone(), message).with_help(help)
}
