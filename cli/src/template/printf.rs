//! `printf` with the verbs that make sense for the data at hand.

use super::Value;
use super::print::{exponent, print};

/// Widths and precisions are cut to this.
const WIDTH_MAX: usize = 4096;

/// The text that Go's `fmt.Sprintf` makes. Mistakes show in the text, as `%!d(string=x)`.
pub(super) fn printf(format: &str, values: &[Value]) -> String {
    let mut output = String::new();
    let mut values = values.iter();
    let mut rest = format;
    while let Some(at) = rest.find('%') {
        output.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (spec, after) = Spec::read(rest, &mut values);
        let Some(verb) = after.chars().next() else {
            output.push_str("%!(NOVERB)");
            rest = after;
            break;
        };
        rest = &after[verb.len_utf8()..];
        output.push_str(&match verb {
            '%' => "%".to_owned(),
            verb => match values.next() {
                None => format!("%!{verb}(MISSING)"),
                Some(value) => spec.show(verb, value),
            },
        });
    }
    output.push_str(rest);
    let extra = values.as_slice();
    if !extra.is_empty() {
        let extra: Vec<_> = extra.iter().map(typed).collect();
        output.push_str(&format!("%!(EXTRA {})", extra.join(", ")));
    }
    output
}

/// What stands between `%` and the verb.
#[derive(Default)]
struct Spec {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

impl Spec {
    fn read<'a>(mut rest: &'a str, values: &mut std::slice::Iter<'_, Value>) -> (Self, &'a str) {
        let mut spec = Self::default();
        while let Some(flag) = rest.chars().next() {
            match flag {
                '+' => spec.plus = true,
                '-' => spec.minus = true,
                '#' => spec.sharp = true,
                ' ' => spec.space = true,
                '0' => spec.zero = true,
                _ => break,
            }
            rest = &rest[1..];
        }
        let (width, after) = count(rest, values);
        spec.width = width.map(|width| {
            spec.minus |= width < 0;
            cut(width.unsigned_abs())
        });
        rest = after;
        if let Some(after) = rest.strip_prefix('.') {
            let (precision, after) = count(after, values);
            spec.precision = Some(precision.map_or(0, |precision| cut(precision.max(0).unsigned_abs())));
            rest = after;
        }
        (spec, rest)
    }

    fn show(&self, verb: char, value: &Value) -> String {
        let text = match (verb, value) {
            ('v', Value::Float(value)) if self.precision.is_some() => self.float('g', *value),
            ('v', value) => shown(value),
            ('s', Value::Text(text)) => self.cut_text(text),
            ('s', Value::List(_) | Value::Map(_) | Value::Record(_) | Value::NilList | Value::NilMap) => {
                shown(value)
            }
            ('q', Value::Text(text)) => quoted(&self.cut_text(text)),
            ('q', Value::Int(code)) => {
                let c = u32::try_from(*code).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
                format!("'{}'", c.escape_default())
            }
            ('T', value) => value.type_name().to_owned(),
            ('t', Value::Bool(value)) => value.to_string(),
            ('x', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02x}")).collect(),
            ('X', Value::Text(text)) => text.bytes().map(|byte| format!("{byte:02X}")).collect(),
            ('d' | 'x' | 'X' | 'o' | 'b' | 'c' | 'U', Value::Int(value)) => self.integer(verb, *value),
            ('e' | 'E' | 'f' | 'F' | 'g' | 'G', Value::Float(value)) => self.float(verb, *value),
            (verb, value) => return format!("%!{verb}({})", typed(value)),
        };
        let numeric = matches!(value, Value::Int(_) | Value::Float(_)) && verb != 'q' && verb != 'c';
        self.padded(&text, numeric)
    }

    fn cut_text(&self, text: &str) -> String {
        text.chars().take(self.precision.unwrap_or(usize::MAX)).collect()
    }

    fn integer(&self, verb: char, value: i64) -> String {
        let magnitude = value.unsigned_abs();
        let (prefix, digits) = match verb {
            'x' => ("0x", format!("{magnitude:x}")),
            'X' => ("0X", format!("{magnitude:X}")),
            'o' => ("0", format!("{magnitude:o}")),
            'b' => ("0b", format!("{magnitude:b}")),
            'U' => return format!("U+{magnitude:04X}"),
            'c' => {
                return u32::try_from(value).ok().and_then(char::from_u32).unwrap_or('\u{fffd}').to_string();
            }
            _ => ("", magnitude.to_string()),
        };
        let digits = format!("{digits:0>width$}", width = self.precision.unwrap_or(0));
        format!("{}{}{digits}", self.sign(value < 0), if self.sharp { prefix } else { "" })
    }

    fn float(&self, verb: char, value: f64) -> String {
        let sign = self.sign(value.is_sign_negative());
        let magnitude = value.abs();
        let text = match verb {
            'f' | 'F' => format!("{magnitude:.*}", self.precision.unwrap_or(6)),
            'e' | 'E' => exponent(&format!("{magnitude:.*e}", self.precision.unwrap_or(6))),
            _ => significant(magnitude, self.precision),
        };
        let text = if verb == 'E' || verb == 'G' { text.to_uppercase() } else { text };
        format!("{sign}{text}")
    }

    fn sign(&self, negative: bool) -> &'static str {
        match (negative, self.plus, self.space) {
            (true, ..) => "-",
            (false, true, _) => "+",
            (false, false, true) => " ",
            _ => "",
        }
    }

    fn padded(&self, text: &str, numeric: bool) -> String {
        let width = self.width.unwrap_or(0);
        let missing = width.saturating_sub(text.chars().count());
        if self.minus {
            return format!("{text}{}", " ".repeat(missing));
        }
        if self.zero && numeric && self.precision.is_none() {
            let signed = usize::from(text.starts_with(['-', '+', ' ']));
            return format!("{}{}{}", &text[..signed], "0".repeat(missing), &text[signed..]);
        }
        format!("{}{text}", " ".repeat(missing))
    }
}

/// A width or a precision: digits, or `*` for the next value.
fn count<'a>(rest: &'a str, values: &mut std::slice::Iter<'_, Value>) -> (Option<i64>, &'a str) {
    if let Some(after) = rest.strip_prefix('*') {
        let count = match values.next() {
            Some(Value::Int(count)) => Some(*count),
            _ => None,
        };
        return (count, after);
    }
    let length = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let digits = &rest[..length];
    let count = if digits.is_empty() { None } else { Some(digits.parse().unwrap_or(i64::MAX)) };
    (count, &rest[length..])
}

fn cut(count: u64) -> usize {
    usize::try_from(count).unwrap_or(WIDTH_MAX).min(WIDTH_MAX)
}

fn shown(value: &Value) -> String {
    if *value == Value::Absent { "<nil>".to_owned() } else { print(value) }
}

fn typed(value: &Value) -> String {
    match value {
        Value::Absent | Value::Nil => "<nil>".to_owned(),
        value => format!("{}={}", value.type_name(), print(value)),
    }
}

/// Go's `%q`.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\x07' => quoted.push_str("\\a"),
            '\x08' => quoted.push_str("\\b"),
            '\x0b' => quoted.push_str("\\v"),
            '\x0c' => quoted.push_str("\\f"),
            c if u32::from(c) < 0x20 || c == '\x7f' => quoted.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// `%g`: the fewest digits that read back, or `precision` significant ones.
pub(super) fn significant(magnitude: f64, precision: Option<usize>) -> String {
    let Some(precision) = precision else { return super::print::float(magnitude) };
    let precision = precision.max(1);
    let scientific = format!("{magnitude:.*e}", precision - 1);
    let (digits, power) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let power: i64 = power.parse().unwrap_or(0);
    let limit = i64::try_from(precision).unwrap_or(i64::MAX);
    if power < -4 || power >= limit {
        return exponent(&format!("{}e{power}", without_trailing_zeros(digits)));
    }
    let decimals = usize::try_from(limit - 1 - power).unwrap_or(0);
    without_trailing_zeros(&format!("{magnitude:.decimals$}")).to_owned()
}

fn without_trailing_zeros(digits: &str) -> &str {
    if digits.contains('.') { digits.trim_end_matches('0').trim_end_matches('.') } else { digits }
}
