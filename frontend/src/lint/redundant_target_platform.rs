//! `--platform=$TARGETPLATFORM` is the default.

use super::{Rule, Stages, substitute};
use crate::diagnostic::Diagnostics;
use crate::environment::Variables;

pub(super) const RULE: Rule = Rule {
    name: "RedundantTargetPlatform",
    description: "Setting platform to predefined $TARGETPLATFORM in FROM is redundant as this is the default behavior",
    url: "https://docs.docker.com/go/dockerfile/rule/redundant-target-platform/",
    experimental: false,
};

const TARGET: &str = "TARGETPLATFORM";

pub(super) fn check(stages: &Stages<'_>, diagnostics: &mut Diagnostics) {
    for word in stages.dockerfile.stages.iter().filter_map(|stage| stage.from.platform.as_ref()) {
        let Ok(substituted) = substitute(&word.value, stages.dockerfile.escape, stages.global_args) else {
            continue;
        };
        let is_only = substituted.used.iter().eq([TARGET]) && substituted.expansion.unset.is_empty();
        if is_only && stages.global_args.get(TARGET) == Some(substituted.expansion.text.as_str()) {
            let message = format!(
                "Setting platform to predefined {} in FROM is redundant as this is the default behavior",
                word.value
            );
            let help = "remove `--platform`".to_owned();
            diagnostics.push(RULE.finding(word.span.clone(), message).with_help(help));
        }
    }
}
