//! A variable is defined before it is used.

use std::ops::Range;

use super::Rule;
use crate::diagnostic::Diagnostic;
use crate::environment::{Environment, Variables};
use crate::suggest::Suggester;

pub(super) const RULE: Rule = Rule {
    name: "UndefinedVar",
    description: "Variables should be defined before their use",
    url: "https://docs.docker.com/go/dockerfile/rule/undefined-var/",
    experimental: false,
};

/// The finding for a variable that no `ENV` or `ARG` of the stage has set.
pub(crate) fn finding(
    name: &str,
    span: &Range<usize>,
    stage: &Environment,
    global_args: &Environment,
    suggester: &mut Suggester,
) -> Diagnostic {
    let mut message = format!("Usage of undefined variable '${name}'");
    if global_args.get(name).is_some() {
        let help = format!("`ARG {name}` in this stage makes the global argument visible");
        return RULE.finding(span.clone(), message).with_help(help);
    }
    let help = match suggester.suggested(name, stage.names()) {
        Some(near) => {
            message.push_str(&format!(" (did you mean ${near}?)"));
            None
        }
        None => suggester.nearest(name, stage.names()).map(|near| format!("did you mean `${near}`?")),
    };
    RULE.finding(span.clone(), message).with_help(help)
}
