//! All instructions, by their keywords.

use std::borrow::Cow;

use super::request::Request;
use super::{command, copy, from, healthcheck, onbuild, pairs, run, values};
use crate::ast::{CommandLine, Kind};
use crate::diagnostic::{Diagnostic, Diagnostics};
use crate::suggest::{meant, nearest, suggested};

/// How many words an instruction takes.
pub(super) fn word_count(kind: &Kind) -> usize {
    match kind {
        Kind::Add(copy) | Kind::Copy(copy) => copy.sources.len() + copy.documents.len() + copy.exclude.len(),
        Kind::Arg(args) => args.len(),
        Kind::Env(pairs) | Kind::Label(pairs) => 2 * pairs.len(),
        Kind::Expose(words) | Kind::Volume(words) => words.len(),
        Kind::Cmd(CommandLine::Exec(argv))
        | Kind::Entrypoint(CommandLine::Exec(argv))
        | Kind::Shell(argv) => argv.len(),
        Kind::Run(run) => run.mounts.len() + run.devices.len() + run.documents.len(),
        Kind::Onbuild(onbuild) => onbuild.instruction.as_ref().map_or(0, |it| word_count(&it.kind)),
        _ => 0,
    }
}

type Read = fn(&mut Request<'_>, &mut Diagnostics) -> Option<Kind>;

/// All instructions: their keywords in both cases in which people write them, and what reads them.
const INSTRUCTIONS: [(&str, &str, Read); 18] = [
    ("ADD", "add", copy::add),
    ("ARG", "arg", pairs::arg),
    ("CMD", "cmd", command::cmd),
    ("COPY", "copy", copy::copy),
    ("ENTRYPOINT", "entrypoint", command::entrypoint),
    ("ENV", "env", pairs::env),
    ("EXPOSE", "expose", values::expose),
    ("FROM", "from", from::from),
    ("HEALTHCHECK", "healthcheck", healthcheck::healthcheck),
    ("LABEL", "label", pairs::label),
    ("MAINTAINER", "maintainer", values::maintainer),
    ("ONBUILD", "onbuild", onbuild::onbuild),
    ("RUN", "run", run::run),
    ("SHELL", "shell", command::shell),
    ("STOPSIGNAL", "stopsignal", values::stopsignal),
    ("USER", "user", values::user),
    ("VOLUME", "volume", values::volume),
    ("WORKDIR", "workdir", values::workdir),
];

/// A keyword as written, mostly without a copy.
pub(super) fn written(keyword: &str) -> Cow<'static, str> {
    let known = INSTRUCTIONS.iter().flat_map(|(upper, lower, _)| [*upper, *lower]);
    known.into_iter().find(|known| *known == keyword).map_or_else(|| keyword.to_owned().into(), Cow::Borrowed)
}

/// Reads what follows the keyword.
pub(super) fn instruction_kind(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    let known = INSTRUCTIONS.iter().find(|(keyword, ..)| keyword.eq_ignore_ascii_case(request.keyword));
    if let Some((.., read)) = known {
        return read(request, diagnostics);
    }
    let span = request.line.span_of(request.keyword);
    let message = format!("unknown instruction `{}`", request.keyword);
    let near = nearest(request.keyword, INSTRUCTIONS.map(|(keyword, ..)| keyword));
    let help = near.map(|keyword| format!("did you mean `{keyword}`?"));
    let lower = request.keyword.to_lowercase();
    let names = INSTRUCTIONS.map(|(keyword, ..)| keyword.to_lowercase());
    let suggested = suggested(&lower, names.iter().map(String::as_str));
    let suggested = suggested.map(|name| in_case_of(request.keyword, name));
    let meant = meant(suggested.as_deref());
    diagnostics.push(
        Diagnostic::error("UnknownInstruction", span, message)
            .with_help(help)
            .with_buildkit(format!("unknown instruction: {}{meant}", request.keyword)),
    );
    None
}

/// A name in lower case, or in upper case where the other one is, as in BuildKit.
fn in_case_of(written: &str, name: &str) -> String {
    let is_upper = written != written.to_lowercase() && written == written.to_uppercase();
    if is_upper { name.to_uppercase() } else { name.to_owned() }
}
