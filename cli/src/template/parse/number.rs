//! Numbers of a template.

use super::super::Value;

/// Go's integer literals in bases 2, 8, 10 and 16 with `_` between digits, and its decimal floats.
pub(super) fn number(text: &str) -> Option<Value> {
    let (sign, magnitude) = match text.as_bytes().first()? {
        b'-' => ("-", &text[1..]),
        b'+' => ("", &text[1..]),
        _ => ("", text),
    };
    let digits = magnitude.replace('_', "");
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.get(..2) {
        Some("0x") => (16, &lower[2..]),
        Some("0b") => (2, &lower[2..]),
        Some("0o") => (8, &lower[2..]),
        _ if lower.len() > 1 && lower.starts_with('0') && lower.bytes().all(|b| b.is_ascii_digit()) => {
            (8, &lower[1..])
        }
        _ => (10, lower.as_str()),
    };
    if body.starts_with(['+', '-']) {
        return None;
    }
    if let Ok(value) = i64::from_str_radix(&format!("{sign}{body}"), radix) {
        return Some(Value::Int(value));
    }
    let decimal = body.bytes().all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'+' | b'-'));
    if radix != 10 || !decimal {
        return None;
    }
    let value: f64 = format!("{sign}{body}").parse().ok()?;
    value.is_finite().then_some(Value::Float(value))
}
