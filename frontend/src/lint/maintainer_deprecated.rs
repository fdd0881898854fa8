//! `MAINTAINER` is a label today.

use super::Rule;
use crate::ast::{Dockerfile, Kind};
use crate::diagnostic::Diagnostics;

pub(super) const RULE: Rule = Rule {
    name: "MaintainerDeprecated",
    description: "The MAINTAINER instruction is deprecated, use a label instead to define an image author",
    url: "https://docs.docker.com/go/dockerfile/rule/maintainer-deprecated/",
    experimental: false,
};

pub(super) fn check(dockerfile: &Dockerfile, diagnostics: &mut Diagnostics) {
    let instructions = dockerfile.stages.iter().flat_map(|stage| &stage.instructions);
    for instruction in instructions.filter(|it| matches!(it.kind, Kind::Maintainer(_))) {
        let message = "Maintainer instruction is deprecated in favor of using label";
        let help = "write `LABEL org.opencontainers.image.authors=...`".to_owned();
        diagnostics.push(RULE.finding(instruction.keyword.span.clone(), message).with_help(help));
    }
}
