//! The comment in front of a stage or an argument describes it: `# NAME description`.

use std::ops::Range;

use super::Rule;
use super::checks::option_text;
use crate::ast::{Dockerfile, Kind};
use crate::diagnostic::{Diagnostic, Diagnostics};

pub(super) const RULE: Rule = Rule {
    name: "InvalidDefinitionDescription",
    description: "Comment for build stage or argument should follow the format: `# <arg/stage name> <description>`. If this is not intended to be a description comment, add an empty line or comment between the instruction and the comment.",
    url: "https://docs.docker.com/go/dockerfile/rule/invalid-definition-description/",
    experimental: true,
};

pub(super) fn check(dockerfile: &Dockerfile, diagnostics: &mut Diagnostics) {
    let instructions = dockerfile.stages.iter().flat_map(|stage| &stage.instructions);
    for instruction in dockerfile.global_args.iter().chain(instructions) {
        let Kind::Arg(args) = &instruction.kind else { continue };
        let names: Vec<&str> = args.iter().map(|arg| arg.name.value.as_str()).collect();
        let span = &instruction.keyword.span;
        finding("ARG", &names, &instruction.comment, span).into_iter().for_each(|it| diagnostics.push(it));
    }
    for stage in &dockerfile.stages {
        let Some(name) = &stage.from.name else { continue };
        let span = &stage.keyword.span;
        let found = finding("FROM", &[&name.value], &stage.comment, span);
        found.into_iter().for_each(|it| diagnostics.push(it));
    }
}

fn finding(keyword: &str, names: &[&str], comment: &[String], span: &Range<usize>) -> Option<Diagnostic> {
    let described = comment.iter().rfind(|line| option_text(line).is_none())?;
    let first_word = described.split(' ').next().unwrap_or_default();
    if names.contains(&first_word) {
        return None;
    }
    let name = match names {
        [name] => name,
        _ => "<arg_key>",
    };
    let message = format!("Comment for {keyword} should follow the format: `# {name} <description>`");
    Some(RULE.finding(span.clone(), message))
}
