//! `CMD`, `ENTRYPOINT` and `HEALTHCHECK` stand once in a stage: only the last one counts.

use super::Rule;
use crate::ast::{Keyword, Kind};
use crate::diagnostic::Diagnostic;

pub(super) const RULE: Rule = Rule {
    name: "MultipleInstructionsDisallowed",
    description: "Multiple instructions of the same type should not be used in the same stage",
    url: "https://docs.docker.com/go/dockerfile/rule/multiple-instructions-disallowed/",
    experimental: false,
};

/// Where the instructions of a stage stand of which only one counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct UsedOnce {
    cmd: Option<Keyword>,
    entrypoint: Option<Keyword>,
    healthcheck: Option<Keyword>,
}

impl UsedOnce {
    /// Notes an instruction; the finding for an earlier one that it takes the place of.
    pub(crate) fn note(&mut self, kind: &Kind, keyword: &Keyword) -> Option<Diagnostic> {
        let place = match kind {
            Kind::Cmd(_) => &mut self.cmd,
            Kind::Entrypoint(_) => &mut self.entrypoint,
            Kind::Healthcheck(_) => &mut self.healthcheck,
            _ => return None,
        };
        let earlier = place.replace(keyword.clone())?;
        let message = format!(
            "Multiple {} instructions should not be used in the same stage because only the last one will be used",
            keyword.value
        );
        Some(RULE.finding(earlier.span, message).with_secondary(keyword.span.clone(), "this one counts"))
    }
}
