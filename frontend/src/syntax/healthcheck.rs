//! `HEALTHCHECK`.

use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::character::complete::digit0;
use nom::combinator::{opt, value};
use nom::sequence::preceded;
use nom::{IResult, Parser};

use super::command::command_line;
use super::flags::Flags;
use super::request::Request;
use super::tokens;
use crate::ast::{CommandLine, Healthcheck, Kind, Word};
use crate::diagnostic::{Diagnostic, Diagnostics};

/// Shortest time that Docker accepts, ns.
const DURATION_NS_MIN: i64 = 1_000_000;

/// The kind that switches off the check of the base.
const NONE: &str = "NONE";

const FLAGS: &[&str] = &["interval", "timeout", "start-period", "start-interval", "retries"];

pub(super) fn healthcheck(request: &mut Request<'_>, diagnostics: &mut Diagnostics) -> Option<Kind> {
    let mut flags = request.flags(FLAGS, diagnostics)?;
    request.need_arguments("`CMD` or `NONE`", diagnostics)?;
    let (kind, command) = tokens::keyword(request.arguments);
    let test = match &*kind.to_ascii_uppercase() {
        NONE if command.is_empty() => vec![NONE.to_owned()],
        NONE => {
            let message = "`HEALTHCHECK NONE` takes no arguments";
            diagnostics.push(Diagnostic::error("InvalidHealthcheck", request.line.span_of(command), message));
            return None;
        }
        "CMD" => test(request, command, diagnostics)?,
        _ => {
            let message = format!("unknown kind of health check `{kind}`");
            diagnostics.push(
                Diagnostic::error("InvalidHealthcheck", request.line.span_of(kind), message)
                    .with_help("write `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`".to_owned()),
            );
            return None;
        }
    };
    let duration_of = |name: &str, flags: &mut Flags, diagnostics: &mut Diagnostics| {
        flags.value(name, diagnostics).map_or(0, |word| duration(&word, diagnostics))
    };
    let is_none = test == [NONE];
    let check = Healthcheck {
        test,
        interval: duration_of("interval", &mut flags, diagnostics),
        timeout: duration_of("timeout", &mut flags, diagnostics),
        start_period: duration_of("start-period", &mut flags, diagnostics),
        start_interval: duration_of("start-interval", &mut flags, diagnostics),
        retries: flags.value("retries", diagnostics).map_or(0, |word| retries(&word, diagnostics)),
    };
    // Without a check there is nothing to time: the flags are read, and mean nothing.
    let check = if is_none { Healthcheck { test: check.test, ..Healthcheck::default() } } else { check };
    Some(Kind::Healthcheck(Box::new(check)))
}

fn test(request: &Request<'_>, command: &str, diagnostics: &mut Diagnostics) -> Option<Vec<String>> {
    let test = match command_line(request, command, diagnostics)? {
        CommandLine::Exec(argv) => [vec!["CMD".to_owned()], argv].concat(),
        CommandLine::Shell(line) if line.value.is_empty() => vec!["CMD-SHELL".to_owned()],
        CommandLine::Shell(line) => vec!["CMD-SHELL".to_owned(), line.value],
    };
    if test.len() > 1 {
        return Some(test);
    }
    let message = "`HEALTHCHECK CMD` without a command";
    diagnostics.push(Diagnostic::error("MissingArgument", request.arguments_span(), message));
    None
}

fn retries(word: &Word, diagnostics: &mut Diagnostics) -> i64 {
    match word.value.parse::<i32>() {
        Ok(number) if number >= 0 => i64::from(number),
        _ => {
            let message = format!("`--retries` is a number, not `{}`", word.value);
            diagnostics.push(Diagnostic::error("InvalidFlagValue", word.span.clone(), message));
            0
        }
    }
}

fn duration(word: &Word, diagnostics: &mut Diagnostics) -> i64 {
    let problem = match parse_duration(&word.value) {
        Some(0) => return 0,
        Some(ns) if ns >= DURATION_NS_MIN => return ns,
        Some(_) => format!("`{}` is shorter than `1ms`", word.value),
        None => format!("`{}` is not a duration", word.value),
    };
    diagnostics.push(
        Diagnostic::error("InvalidFlagValue", word.span.clone(), problem)
            .with_help("durations are written as `1m30s` or `500ms`".to_owned()),
    );
    0
}

/// A duration as Go writes them, `1h2m3.5s`, in nanoseconds.
fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i64 = 0;
    while !rest.is_empty() {
        let (after, ns) = component(rest).ok()?;
        total = total.checked_add(ns?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(if negative { -total } else { total })
}

/// A number and its unit, `2.5s`; none inside when it is too large.
fn component(text: &str) -> IResult<&str, Option<i64>> {
    let unit = alt((
        value(1_i64, tag("ns")),
        value(1_000, alt((tag("us"), tag("µs"), tag("μs")))),
        value(1_000_000, tag("ms")),
        value(1_000_000_000, tag("s")),
        value(60_000_000_000, tag("m")),
        value(3_600_000_000_000, tag("h")),
    ));
    let (rest, (whole, fraction, unit)) = (digit0, opt(preceded(tag("."), digit0)), unit).parse(text)?;
    if whole.is_empty() && fraction.is_none_or(str::is_empty) {
        return Err(nom::Err::Error(nom::error::Error::new(text, nom::error::ErrorKind::Digit)));
    }
    let whole: Option<i64> = if whole.is_empty() { Some(0) } else { whole.parse().ok() };
    let part = format!("0.{}", fraction.unwrap_or("0")).parse::<f64>().unwrap_or(0.0);
    // A fraction of at most an hour fits an f64 without loss that matters at 1 ns.
    let part_ns = (part * unit as f64) as i64;
    Ok((rest, whole.and_then(|whole| whole.checked_mul(unit)?.checked_add(part_ns))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_gos() {
        for (text, expected) in [
            ("0", Some(0)),
            ("5s", Some(5_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            (".5s", Some(500_000_000)),
            ("100us", Some(100_000)),
            ("-1s", Some(-1_000_000_000)),
            ("", None),
            ("5", None),
            ("s", None),
            ("5 s", None),
            ("999999999999h", None),
        ] {
            assert_eq!(parse_duration(text), expected, "{text}");
        }
    }
}
