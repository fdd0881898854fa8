//! Mistakes in the words of BuildKit, for programs that look for them.

use super::Inquiry;
use crate::Diagnostic;

/// The message of a mistake as the JSON of a check has it. `line` is that of its instruction.
pub(super) fn message(error: &Diagnostic, inquiry: &Inquiry, line: Option<usize>) -> String {
    let text = &inquiry.source.text;
    let marked = text.get(error.span.clone()).unwrap_or_default();
    match (error.rule, line) {
        ("Empty", _) if text.is_empty() => "the Dockerfile cannot be empty".to_owned(),
        ("Empty", _) => "file with no instructions".to_owned(),
        ("NoStage", None) => "dockerfile contains no stages to build".to_owned(),
        ("NoStage", Some(_)) => "no build stage in current context".to_owned(),
        (_, Some(line)) if inquiry.parsed.has_errors() => {
            format!("dockerfile parse error on line {line}: {}", said(error, marked))
        }
        _ => error.message.clone(),
    }
}

/// What is wrong with an instruction. Where BuildKit has no words for it, or has many, ours do.
fn said(error: &Diagnostic, marked: &str) -> String {
    match error.rule {
        "UnknownInstruction" => format!("unknown instruction: {marked}{}", meant(error)),
        "UnknownFlag" => {
            let flag = marked.split('=').next().unwrap_or_default();
            format!("unknown flag: {flag}{}", meant(error).replace("--", ""))
        }
        "MissingArgument" => missing(error),
        "InvalidFrom" => FROM_ARGUMENTS.to_owned(),
        "InvalidStageName" => format!(
            "invalid name for build stage: {marked:?}, name can't start with a number or contain symbols"
        ),
        _ => error.message.clone(),
    }
}

const FROM_ARGUMENTS: &str = "FROM requires either one or three arguments";

/// Our message names the instruction first.
fn missing(error: &Diagnostic) -> String {
    let keyword = error.message.split('`').nth(1).unwrap_or_default();
    match keyword {
        "FROM" => FROM_ARGUMENTS.to_owned(),
        "ADD" | "COPY" => format!(
            "{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
        ),
        "MAINTAINER" | "STOPSIGNAL" | "USER" | "WORKDIR" => {
            format!("{keyword} requires exactly one argument")
        }
        "ARG" | "ENV" | "EXPOSE" | "HEALTHCHECK" | "LABEL" | "ONBUILD" | "SHELL" => {
            format!("{keyword} requires at least one argument")
        }
        _ => error.message.clone(),
    }
}

/// ` (did you mean RUN?)`, when we are sure.
fn meant(error: &Diagnostic) -> String {
    let help = error.help.as_deref().filter(|help| help.starts_with("did you mean"));
    help.map(|help| format!(" ({})", help.replace('`', ""))).unwrap_or_default()
}
