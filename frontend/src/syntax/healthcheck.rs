//! `HEALTHCHECK`.

use std::num::IntErrorKind;

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
            diagnostics.push(
                Diagnostic::error("InvalidHealthcheck", request.line.span_of(command), message)
                    .with_buildkit("HEALTHCHECK NONE takes no arguments"),
            );
            return None;
        }
        "CMD" => test(request, command, diagnostics)?,
        _ => {
            let message = format!("unknown kind of health check `{kind}`");
            diagnostics.push(
                Diagnostic::error("InvalidHealthcheck", request.line.span_of(kind), message)
                    .with_help("write `HEALTHCHECK CMD command` or `HEALTHCHECK NONE`".to_owned())
                    .with_buildkit(format!(
                        "Unknown type {:?} in HEALTHCHECK (try CMD)",
                        kind.to_ascii_uppercase()
                    )),
            );
            return None;
        }
    };
    let duration_of = |name: &str, flags: &mut Flags, diagnostics: &mut Diagnostics| {
        flags.value(name, diagnostics).map_or(0, |word| duration(name, &word, diagnostics))
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
    diagnostics.push(
        Diagnostic::error("MissingArgument", request.arguments_span(), message)
            .with_buildkit("Missing command after HEALTHCHECK CMD"),
    );
    None
}

fn retries(word: &Word, diagnostics: &mut Diagnostics) -> i64 {
    let text = &word.value;
    let words = match text.parse::<i32>() {
        Ok(number) if number >= 0 => return i64::from(number),
        Ok(number) => format!("--retries cannot be negative ({number})"),
        Err(error) => format!("strconv.ParseInt: parsing {text:?}: {}", of_go(error.kind())),
    };
    let message = format!("`--retries` is a number, not `{text}`");
    diagnostics.push(Diagnostic::error("InvalidFlagValue", word.span.clone(), message).with_buildkit(words));
    0
}

/// What Go says of a number.
fn of_go(kind: &IntErrorKind) -> &'static str {
    match kind {
        IntErrorKind::PosOverflow | IntErrorKind::NegOverflow => "value out of range",
        _ => "invalid syntax",
    }
}

fn duration(flag: &str, word: &Word, diagnostics: &mut Diagnostics) -> i64 {
    let text = &word.value;
    let (problem, words) = match parse_duration(text) {
        Some(0) => return 0,
        Some(ns) if ns >= DURATION_NS_MIN => return ns,
        Some(_) => {
            (format!("`{text}` is shorter than `1ms`"), format!("Interval {flag:?} cannot be less than 1ms"))
        }
        None => (format!("`{text}` is not a duration"), no_duration(text)),
    };
    diagnostics.push(
        Diagnostic::error("InvalidFlagValue", word.span.clone(), problem)
            .with_help("durations are written as `1m30s` or `500ms`".to_owned())
            .with_buildkit(words),
    );
    0
}

/// What Go says of a text that is no duration.
fn no_duration(text: &str) -> String {
    let is_digit = |c: char| c.is_ascii_digit() || c == '.';
    let mut rest = text.trim_start_matches(['-', '+']);
    while let Ok((after, Some(_))) = component(rest) {
        rest = after;
    }
    let unit = rest.trim_start_matches(is_digit);
    let unit = unit.split(is_digit).next().unwrap_or_default();
    let has_number = rest.starts_with(|c: char| c.is_ascii_digit());
    match (has_number, unit) {
        (true, "") => format!("time: missing unit in duration {text:?}"),
        (true, "ns" | "us" | "ms" | "s" | "m" | "h") | (false, _) => {
            format!("time: invalid duration {text:?}")
        }
        (true, unit) => format!("time: unknown unit {unit:?} in duration {text:?}"),
    }
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

    #[test]
    fn what_is_no_duration_is_called_as_in_go() {
        for (text, expected) in [
            ("30", "time: missing unit in duration \"30\""),
            ("1m30", "time: missing unit in duration \"1m30\""),
            ("1x", "time: unknown unit \"x\" in duration \"1x\""),
            ("soon", "time: invalid duration \"soon\""),
            (".s", "time: invalid duration \".s\""),
            ("999999999999h", "time: invalid duration \"999999999999h\""),
        ] {
            assert_eq!(no_duration(text), expected);
        }
    }
}
