//! Instructions that are a list of words or one value: `EXPOSE`, `MAINTAINER`, `STOPSIGNAL`, `USER`,
//! `VOLUME`, `WORKDIR`.

use super::command::not_strings;
use super::request::{self, Request};
use super::tokens::{self, Json};
use crate::ast::{Kind, Word};
use crate::diagnostic::{Diagnostic, Diagnostics};

/// What BuildKit says of a volume without a path.
pub(crate) const EMPTY_VOLUME: &str = "VOLUME specified can not be an empty string";

/// The whole of the arguments as one value.
fn value(request: &mut Request<'_>, expected: &str, diagnostics: &mut Diagnostics) -> Option<Word> {
    request.no_flags(diagnostics)?;
    request.need_arguments(expected, diagnostics)?;
    Some(request.word(request.arguments))
}

/// The arguments as a JSON list of strings, or as words between blanks.
pub(super) fn json_or_words(request: &Request<'_>, diagnostics: &mut Diagnostics) -> Option<Vec<Word>> {
    match tokens::json(request.arguments) {
        Json::Strings(values) => {
            let span = request.line.span_of(request.arguments);
            Some(values.into_iter().map(|value| Word { value, span: span.clone() }).collect())
        }
        Json::OtherList => {
            diagnostics.push(not_strings(request, request.arguments));
            None
        }
        Json::No => Some(tokens::plain_words(request.arguments).map(|word| request.word(word)).collect()),
    }
}

pub(super) fn expose(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    request.no_flags(diagnostics)?;
    request.need_arguments("a port", diagnostics)?;
    let mut ports: Vec<Word> =
        tokens::plain_words(request.arguments).map(|word| request.word(word)).collect();
    ports.sort_by(|a, b| a.value.cmp(&b.value));
    Some(Kind::Expose(ports))
}

pub(super) fn maintainer(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    value(request, "a name", diagnostics).map(Kind::Maintainer)
}

pub(super) fn stopsignal(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    value(request, "a signal", diagnostics).map(Kind::Stopsignal)
}

pub(super) fn user(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    value(request, "a user", diagnostics).map(Kind::User)
}

pub(super) fn volume(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    request.no_flags(diagnostics)?;
    request.need_arguments("a path", diagnostics)?;
    let mut volumes = json_or_words(request, diagnostics)?;
    for volume in &mut volumes {
        volume.value = volume.value.trim().to_owned();
    }
    if volumes.is_empty() || volumes.iter().any(|volume| volume.value.is_empty()) {
        let message = "a `VOLUME` must not be empty";
        let words = if volumes.is_empty() { request::missing("VOLUME") } else { EMPTY_VOLUME.to_owned() };
        diagnostics.push(
            Diagnostic::error("MissingArgument", request.arguments_span(), message).with_buildkit(words),
        );
        return None;
    }
    Some(Kind::Volume(volumes))
}

pub(super) fn workdir(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    value(request, "a path", diagnostics).map(Kind::Workdir)
}
