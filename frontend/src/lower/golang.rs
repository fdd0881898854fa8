//! Texts as Go prints them, for history entries that equal BuildKit's.

use std::fmt::Write;

use image::Healthcheck;

/// `%q` of a string.
fn quote(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c < ' ' || c == '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if is_unprintable(c) && u32::from(c) <= 0xffff => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c if is_unprintable(c) => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// Beyond ASCII, Go escapes controls, separators and invisible characters; these are the ones people meet.
fn is_unprintable(c: char) -> bool {
    let is_separator = c != ' ' && c.is_whitespace();
    c.is_control()
        || is_separator
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{e000}'..='\u{f8ff}')
}

/// `%q` of a list: `["a" "b"]`.
pub(super) fn quoted_list(items: &[String]) -> String {
    format!("[{}]", items.iter().map(|item| quote(item)).collect::<Vec<_>>().join(" "))
}

/// `%v` of a list: `[a b]`.
pub(super) fn list(items: &[String]) -> String {
    format!("[{}]", items.join(" "))
}

/// `%+v` of a health check.
pub(super) fn healthcheck(check: &Healthcheck) -> String {
    format!(
        "{{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        list(&check.test),
        duration(check.interval),
        duration(check.timeout),
        duration(check.start_period),
        duration(check.start_interval),
        check.retries
    )
}

/// A duration of not less than zero: `1m30s`, `1.5s`, `100ms`.
fn duration(ns: i64) -> String {
    let fraction = |value: i64, unit: i64, name: &str| {
        let digits = unit.ilog10() as usize;
        let rest = format!("{:0digits$}", value % unit);
        let rest = rest.trim_end_matches('0');
        let dot = if rest.is_empty() || unit == 1 { "" } else { "." };
        let rest = if dot.is_empty() { "" } else { rest };
        format!("{}{dot}{rest}{name}", value / unit)
    };
    match ns {
        0 => "0s".to_owned(),
        1..1_000 => fraction(ns, 1, "ns"),
        1_000..1_000_000 => fraction(ns, 1_000, "µs"),
        1_000_000..1_000_000_000 => fraction(ns, 1_000_000, "ms"),
        _ => {
            const MINUTE: i64 = 60_000_000_000;
            let (hours, minutes) = (ns / (60 * MINUTE), ns / MINUTE % 60);
            let seconds = fraction(ns % MINUTE, 1_000_000_000, "s");
            match (hours, minutes) {
                (0, 0) => seconds,
                (0, minutes) => format!("{minutes}m{seconds}"),
                (hours, minutes) => format!("{hours}h{minutes}m{seconds}"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_are_quoted_as_in_go() {
        let texts = ["a\"b\\c\n\t\u{1}é\u{200b}".to_owned(), String::new()];
        assert_eq!(quoted_list(&texts), r#"["a\"b\\c\n\t\x01é\u200b" ""]"#);
    }

    #[test]
    fn durations_are_printed_as_in_go() {
        for (ns, expected) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500_000, "1.5ms"),
            (1_000_000_000, "1s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
            (3_601_500_000_000, "1h0m1.5s"),
        ] {
            assert_eq!(duration(ns), expected);
        }
    }
}
