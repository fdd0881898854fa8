//! `CMD`, `ENTRYPOINT` and `SHELL`.

use super::request::Request;
use super::tokens::{self, Json};
use crate::ast::{CommandLine, Kind};
use crate::diagnostic::{Diagnostic, Diagnostics};

/// Reads a command in exec or shell form.
pub(super) fn command_line(
    request: &Request<'_>,
    text: &str,
    diagnostics: &mut Diagnostics,
) -> Option<CommandLine> {
    match tokens::json(text) {
        Json::Strings(argv) => Some(CommandLine::Exec(argv)),
        Json::OtherList => {
            diagnostics.push(not_strings(request, text));
            None
        }
        Json::No => Some(CommandLine::Shell(request.word(text))),
    }
}

/// The finding for a list like `["a", 1]`.
pub(super) fn not_strings(request: &Request<'_>, text: &str) -> Diagnostic {
    let message = "a JSON list of arguments may hold strings only";
    let words = "when using JSON array syntax, arrays must be comprised of strings only";
    Diagnostic::error("NotStrings", request.line.span_of(text), message).with_buildkit(words)
}

/// Nothing is a line for the shell too, as in BuildKit.
pub(super) fn cmd(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    request.no_flags(diagnostics)?;
    command_line(request, request.arguments, diagnostics).map(Kind::Cmd)
}

pub(super) fn entrypoint(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    request.no_flags(diagnostics)?;
    command_line(request, request.arguments, diagnostics).map(Kind::Entrypoint)
}

pub(super) fn shell(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    request.no_flags(diagnostics)?;
    request.need_arguments("a command", diagnostics)?;
    match tokens::json(request.arguments) {
        Json::Strings(argv) if !argv.is_empty() => return Some(Kind::Shell(argv)),
        Json::OtherList => diagnostics.push(not_strings(request, request.arguments)),
        Json::Strings(_) => diagnostics.push(no_program(request, "SHELL requires at least one argument")),
        Json::No => diagnostics.push(no_program(request, "SHELL requires the arguments to be in JSON form")),
    }
    None
}

fn no_program(request: &Request<'_>, words: &str) -> Diagnostic {
    Diagnostic::error("NotJSON", request.arguments_span(), "`SHELL` needs a JSON list with a program")
        .with_help("write it as `SHELL [\"/bin/bash\", \"-c\"]`".to_owned())
        .with_buildkit(words)
}
