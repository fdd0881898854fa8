//! `FROM` uses only arguments that are declared in front of the first `FROM`.

use std::collections::HashSet;

use super::{Rule, Stages, substitute};
use crate::ast::Kind;
use crate::diagnostic::Diagnostics;
use crate::suggest::meant;

pub(super) const RULE: Rule = Rule {
    name: "UndefinedArgInFrom",
    description: "FROM command must use declared ARGs",
    url: "https://docs.docker.com/go/dockerfile/rule/undefined-arg-in-from/",
    experimental: false,
};

pub(super) fn check(stages: &Stages<'_>, diagnostics: &mut Diagnostics) {
    let declared: HashSet<&str> = declared(stages).collect();
    for stage in &stages.dockerfile.stages {
        for word in std::iter::once(&stage.from.base).chain(&stage.from.platform) {
            // What cannot be expanded is an error, and told elsewhere.
            let Ok(substituted) = substitute(&word.value, stages.dockerfile.escape, stages.global_args)
            else {
                continue;
            };
            let unset = substituted.expansion.unset;
            for name in unset.iter().filter(|name| !declared.contains(name.as_str())) {
                let mut message = format!("FROM argument '{name}' is not declared");
                let known = || stages.global_args.names();
                let suggested = diagnostics.suggester.suggested(name, known());
                message.push_str(&meant(suggested));
                let near = match suggested {
                    Some(_) => None,
                    None => diagnostics.suggester.nearest(name, known()),
                };
                let help = near.map(|near| format!("did you mean `{near}`?"));
                diagnostics.push(RULE.finding(word.span.clone(), message).with_help(help));
            }
        }
    }
}

/// Arguments without a default count too.
fn declared<'a>(stages: &Stages<'a>) -> impl Iterator<Item = &'a str> {
    stages.dockerfile.global_args.iter().flat_map(|instruction| match &instruction.kind {
        Kind::Arg(args) => args.iter().map(|arg| arg.name.value.as_str()).collect(),
        _ => Vec::new(),
    })
}
