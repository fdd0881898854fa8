//! `FROM`.

use super::request::{self, Request};
use super::tokens;
use crate::ast::{From, Kind, Word};
use crate::diagnostic::{Diagnostic, Diagnostics};

pub(super) fn from(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    let mut flags = request.flags(&["platform"], diagnostics)?;
    request.need_arguments("an image", diagnostics)?;
    let words: Vec<&str> = tokens::plain_words(request.arguments).collect();
    let (base, named) = match words[..] {
        [base] => (base, None),
        [base, keyword, name] if keyword.eq_ignore_ascii_case("as") => {
            stage_name(request, name, diagnostics)?;
            (base, Some((keyword, name)))
        }
        _ => {
            let message = "`FROM` takes an image, or an image, `AS` and a name";
            diagnostics.push(
                Diagnostic::error("InvalidFrom", request.arguments_span(), message)
                    .with_help("write `FROM image AS name`".to_owned())
                    .with_buildkit(request::missing("FROM")),
            );
            return None;
        }
    };
    let platform = flags.value("platform", diagnostics).filter(|platform| !platform.value.is_empty());
    Some(Kind::From(Box::new(From {
        base: request.word(base),
        name: named.map(|(_, name)| Word { value: name.to_lowercase(), ..request.word(name) }),
        written_name: named.map(|(_, name)| name.to_owned()),
        as_keyword: named.map(|(keyword, _)| request.word(keyword)),
        platform,
    })))
}

/// Names start with a letter and hold letters, digits, `-`, `_` and `.`; case does not count.
fn stage_name(request: &Request<'_>, written: &str, diagnostics: &mut Diagnostics) -> Option<()> {
    let name = written.to_lowercase();
    let starts_well = name.starts_with(|c: char| c.is_ascii_lowercase());
    let goes_on_well =
        name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '_' | '.'));
    if !starts_well || !goes_on_well {
        let message = format!("invalid stage name `{written}`");
        let span = request.line.span_of(written);
        diagnostics.push(
            Diagnostic::error("InvalidStageName", span, message)
                .with_help("names start with a letter and hold letters, digits, `-`, `_` and `.`".to_owned())
                .with_buildkit(format!(
                    "invalid name for build stage: {written:?}, name can't start with a number or contain symbols"
                )),
        );
        return None;
    }
    Some(())
}
