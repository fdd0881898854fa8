//! Protocols of `EXPOSE` are written in lower case.

use std::ops::Range;

use super::Rule;
use crate::diagnostic::Diagnostic;

pub(super) const RULE: Rule = Rule {
    name: "ExposeProtoCasing",
    description: "Protocol in EXPOSE instruction should be lowercase",
    url: "https://docs.docker.com/go/dockerfile/rule/expose-proto-casing/",
    experimental: false,
};

/// The finding for a port with its variables expanded; none when it is fine.
pub(crate) fn finding(port: &str, span: &Range<usize>) -> Option<Diagnostic> {
    let (_, protocol) = port.split_once('/')?;
    if protocol == protocol.to_lowercase() {
        return None;
    }
    let message = format!("Defined protocol '{port}' in EXPOSE instruction should be lowercase");
    Some(RULE.finding(span.clone(), message).with_help(format!("write `{}`", port.to_lowercase())))
}
