//! Values as Go prints them with `%v`.

use super::Value;

/// What an action such as `{{.Config.Env}}` leaves in the output.
pub(super) fn print(value: &Value) -> String {
    match value {
        Value::Absent => "<no value>".to_owned(),
        Value::Nil => "<nil>".to_owned(),
        Value::NilList => "[]".to_owned(),
        Value::NilMap => "map[]".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(value) => value.to_string(),
        Value::Float(value) => float(*value),
        Value::Text(text) => text.clone(),
        Value::List(items) => format!("[{}]", joined(items.iter().map(element))),
        Value::Map(entries) => {
            let entries = entries.iter().map(|(name, value)| format!("{name}:{}", element(value)));
            format!("map[{}]", joined(entries))
        }
        Value::Record(fields) => format!("{{{}}}", joined(fields.iter().map(|(_, value)| element(value)))),
    }
}

/// Inside another value, nothing is `<nil>`.
fn element(value: &Value) -> String {
    match value {
        Value::Absent => "<nil>".to_owned(),
        value => print(value),
    }
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join(" ")
}

/// `%v` of a float: the shortest digits that read back, with an exponent below 1e-4 and from 1e21 on.
pub(super) fn float(value: f64) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    let magnitude = value.abs();
    if magnitude != 0.0 && !(1e-4..1e21).contains(&magnitude) {
        return exponent(&format!("{value:e}"));
    }
    format!("{value}")
}

/// Rust's `1e-7` as Go's `1e-07`: a sign always, two digits at least.
pub(super) fn exponent(text: &str) -> String {
    let (digits, exponent) = text.split_once('e').unwrap_or((text, "0"));
    let (sign, exponent) = exponent.strip_prefix('-').map_or(('+', exponent), |exponent| ('-', exponent));
    format!("{digits}e{sign}{exponent:0>2}")
}
