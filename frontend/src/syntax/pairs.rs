//! `ENV`, `LABEL` and `ARG`.

use super::request::Request;
use super::tokens;
use crate::ast::{Arg, Kind, Pair};
use crate::diagnostic::{Diagnostic, Diagnostics};

pub(super) fn env(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    pairs(request, diagnostics).map(Kind::Env)
}

pub(super) fn label(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    pairs(request, diagnostics).map(Kind::Label)
}

/// `name=value ...`, or the old form `name value with blanks`: the first word decides.
fn pairs(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<Pair>> {
    request.no_flags(diagnostics)?;
    request.need_arguments("a name and a value", diagnostics)?;
    let words = tokens::quoted_words(request.arguments, request.escape);
    if words.first().is_some_and(|word| !word.contains('=')) {
        return legacy(request, diagnostics).map(|pair| vec![pair]);
    }
    let pairs: Vec<_> = words.iter().filter_map(|word| pair(request, word, diagnostics)).collect();
    (pairs.len() == words.len()).then_some(pairs)
}

fn pair(request: &Request<'_>, word: &str, diagnostics: &mut Diagnostics) -> Option<Pair> {
    let keyword = request.keyword.to_ascii_uppercase();
    match word.split_once('=') {
        Some((name, value)) if !name.is_empty() => {
            return Some(Pair { name: request.word(name), value: request.word(value), legacy: false });
        }
        Some(_) => diagnostics.push(empty_name(request, &keyword, word)),
        None => diagnostics.push(
            Diagnostic::error("InvalidPair", request.line.span_of(word), format!("no `=` in `{word}`"))
                .with_help(format!(
                    "pairs of `{keyword}` are `name=value`; put quotes around a value with blanks"
                ))
                .with_buildkit(format!(
                    "Syntax error - can't find = in {word:?}. Must be of the form: name=value"
                )),
        ),
    }
    None
}

fn empty_name(request: &Request<'_>, keyword: &str, word: &str) -> Diagnostic {
    let message = format!("a name of `{keyword}` is empty");
    Diagnostic::error("EmptyName", request.line.span_of(word), message)
        .with_buildkit(format!("{keyword} names can not be blank"))
}

fn legacy(request: &Request<'_>, diagnostics: &mut Diagnostics) -> Option<Pair> {
    let keyword = request.keyword.to_ascii_uppercase();
    let (name, value) = tokens::keyword(request.arguments);
    if value.is_empty() {
        let message = format!("`{keyword} {name}` has no value");
        diagnostics.push(
            Diagnostic::error("MissingValue", request.arguments_span(), message)
                .with_help(format!("write `{keyword} {name}=value`"))
                .with_buildkit(format!("{keyword} must have two arguments")),
        );
        return None;
    }
    Some(Pair { name: request.word(name), value: request.word(value), legacy: true })
}

pub(super) fn arg(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    request.no_flags(diagnostics)?;
    request.need_arguments("a name", diagnostics)?;
    let words = tokens::quoted_words(request.arguments, request.escape);
    let args: Vec<_> = words.iter().filter_map(|word| one_arg(request, word, diagnostics)).collect();
    (args.len() == words.len()).then_some(Kind::Arg(args))
}

fn one_arg(request: &Request<'_>, word: &str, diagnostics: &mut Diagnostics) -> Option<Arg> {
    match word.split_once('=') {
        Some(("", _)) => {
            diagnostics.push(empty_name(request, "ARG", word));
            None
        }
        Some((name, value)) => Some(Arg { name: request.word(name), value: Some(request.word(value)) }),
        None => Some(Arg { name: request.word(word), value: None }),
    }
}
