//! `EXPOSE` names ports of the container, and no others.

use std::ops::Range;

use super::Rule;
use crate::diagnostic::Diagnostic;

pub(super) const RULE: Rule = Rule {
    name: "ExposeInvalidFormat",
    description: "IP address and host-port mapping should not be used in EXPOSE instruction. This will become an error in a future release",
    url: "https://docs.docker.com/go/dockerfile/rule/expose-invalid-format/",
    experimental: false,
};

/// The finding for a port with its variables expanded; none when it is fine.
pub(crate) fn finding(port: &str, span: &Range<usize>) -> Option<Diagnostic> {
    let (_, container) = port.rsplit_once(':')?;
    let message =
        format!("EXPOSE instruction should not define an IP address or host-port mapping, found '{port}'");
    Some(RULE.finding(span.clone(), message).with_help(format!("write `{container}`")))
}
