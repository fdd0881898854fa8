//! What looks like a JSON list is one.
//!
//! Not one of BuildKit's checks: there `CMD ["a",]` goes to a shell without a word.

use super::Rule;
use crate::ast::{CommandLine, Dockerfile, Kind};
use crate::diagnostic::Diagnostics;

pub(super) const RULE: Rule = Rule {
    name: "InvalidJSONForm",
    description: "A command that looks like a JSON list should be one",
    url: "",
    experimental: false,
};

pub(super) fn check(dockerfile: &Dockerfile, diagnostics: &mut Diagnostics) {
    for instruction in dockerfile.stages.iter().flat_map(|stage| &stage.instructions) {
        let (text, span) = match &instruction.kind {
            Kind::Cmd(CommandLine::Shell(line)) | Kind::Entrypoint(CommandLine::Shell(line)) => {
                (&line.value, &line.span)
            }
            Kind::Run(run) => match &run.command {
                CommandLine::Shell(line) => (&line.value, &line.span),
                CommandLine::Exec(_) => continue,
            },
            Kind::Healthcheck(check) => match &check.test[..] {
                [kind, line] if kind == "CMD-SHELL" => (line, &instruction.keyword.span),
                _ => continue,
            },
            _ => continue,
        };
        if looks_like_json(text) {
            let message = "This is not a JSON list and runs as a shell command";
            let help = "a JSON list needs double quotes and no comma at its end".to_owned();
            diagnostics.push(RULE.finding(span.clone(), message).with_help(help));
        }
    }
}

/// `["a",]` and `['a']` were meant to be JSON; `[ -f x ]` is a shell's test.
fn looks_like_json(text: &str) -> bool {
    let inner = text.strip_prefix('[').map(str::trim_start).unwrap_or_default();
    inner.starts_with(['"', '\'']) && text.ends_with(']') && !inner.contains(" ]")
}
