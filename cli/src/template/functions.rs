//! The functions of templates: Go's own and Docker's.

use super::print::print;
use super::printf::printf;
use super::{Value, compare};

/// Spaces that `pad` adds on a side at most.
const PAD_MAX: i64 = 1 << 12;

const NAMES: [&str; 23] = [
    "and", "or", "not", "len", "index", "slice", "print", "printf", "println", "eq", "ne", "lt", "le", "gt",
    "ge", "json", "join", "split", "lower", "upper", "title", "pad", "truncate",
];

/// Whether there is a function of that name.
pub(super) fn is_known(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Which functions a template runs with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Functions {
    /// The ordinary ones.
    Values,
    /// Those for the header of a table: what would change a value leaves the column's title alone.
    Headers,
}

/// Why a call has no result.
pub(super) enum Refusal {
    /// Too many or too few arguments.
    WrongCount(String),
    /// The function takes no such argument.
    WrongType {
        /// Which, from 0.
        argument: usize,
        /// The Go type that it takes.
        expected: &'static str,
        /// What it got.
        got: &'static str,
    },
    /// The function itself says no.
    Failed(String),
}

impl Refusal {
    pub(super) fn into_message(self) -> String {
        match self {
            Self::WrongCount(message) | Self::Failed(message) => message,
            Self::WrongType { expected, got, .. } => {
                format!("wrong type for value; expected {expected}; got {got}")
            }
        }
    }
}

pub(super) type Outcome = Result<Value, Refusal>;

pub(super) fn failed<T>(message: impl Into<String>) -> Result<T, Refusal> {
    Err(Refusal::Failed(message.into()))
}

impl Functions {
    /// Calls the function `name`, which the parser found to be known.
    pub(super) fn call(self, name: &str, mut arguments: Vec<Value>) -> Outcome {
        let changes_text =
            matches!(name, "json" | "join" | "split" | "lower" | "upper" | "title" | "truncate");
        if self == Self::Headers && changes_text && !arguments.is_empty() {
            // In a pipeline the title comes last, written out it comes first.
            let title = arguments.iter().position(|value| matches!(value, Value::Text(_))).unwrap_or(0);
            return Ok(arguments.swap_remove(title));
        }
        match name {
            "and" | "or" => logical(name, arguments),
            "not" => one(name, arguments).map(|value| Value::Bool(!value.is_true())),
            "len" => length(&one(name, arguments)?),
            "index" => index(arguments),
            "slice" => slice(arguments),
            "print" => Ok(Value::Text(sprint(&arguments))),
            "println" => Ok(Value::Text(sprintln(&arguments))),
            "printf" => formatted(&arguments),
            "eq" | "ne" | "lt" | "le" | "gt" | "ge" => compare::call(name, &arguments),
            "json" => one(name, arguments).map(|value| Value::Text(value.to_json())),
            "join" => join(arguments),
            "split" => split(arguments),
            "lower" => Ok(Value::Text(text(0, one(name, arguments)?)?.to_lowercase())),
            "upper" => Ok(Value::Text(text(0, one(name, arguments)?)?.to_uppercase())),
            "title" => Ok(Value::Text(title(&text(0, one(name, arguments)?)?))),
            "pad" => pad(arguments),
            "truncate" => truncate(arguments),
            _ => failed(format!("function {name:?} not defined")),
        }
    }
}

fn wrong_count(name: &str, wanted: usize, got: usize) -> Refusal {
    Refusal::WrongCount(format!("wrong number of args for {name}: want {wanted} got {got}"))
}

fn one(name: &str, arguments: Vec<Value>) -> Outcome {
    let got = arguments.len();
    match <[Value; 1]>::try_from(arguments) {
        Ok([value]) => Ok(value),
        Err(_) => Err(wrong_count(name, 1, got)),
    }
}

fn exactly<const N: usize>(name: &str, arguments: Vec<Value>) -> Result<[Value; N], Refusal> {
    let got = arguments.len();
    arguments.try_into().map_err(|_| wrong_count(name, N, got))
}

fn text(argument: usize, value: Value) -> Result<String, Refusal> {
    match value {
        Value::Text(text) => Ok(text),
        other => Err(Refusal::WrongType { argument, expected: "string", got: other.type_name() }),
    }
}

fn integer(argument: usize, value: &Value) -> Result<i64, Refusal> {
    match value {
        Value::Int(value) => Ok(*value),
        other => Err(Refusal::WrongType { argument, expected: "int", got: other.type_name() }),
    }
}

/// The last of the values: those before it did not decide.
fn logical(name: &str, mut arguments: Vec<Value>) -> Outcome {
    let decides = |value: &Value| value.is_true() == (name == "or");
    let at = arguments.iter().position(decides).or(arguments.len().checked_sub(1));
    match at {
        Some(at) => Ok(arguments.swap_remove(at)),
        None => Err(Refusal::WrongCount(format!("wrong number of args for {name}: want at least 1 got 0"))),
    }
}

fn length(value: &Value) -> Outcome {
    let length = match value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::Map(entries) => entries.len(),
        Value::NilList | Value::NilMap => 0,
        Value::Nil | Value::Absent => return failed("len of nil pointer"),
        other => return failed(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(arguments: Vec<Value>) -> Outcome {
    let mut arguments = arguments.into_iter();
    let Some(mut value) = arguments.next() else {
        return Err(Refusal::WrongCount("wrong number of args for index: want at least 1 got 0".to_owned()));
    };
    for key in arguments {
        value = index_once(value, &key)?;
    }
    Ok(value)
}

fn index_once(value: Value, key: &Value) -> Outcome {
    match (value, key) {
        (Value::Map(mut entries), Value::Text(name)) => {
            // A map of texts answers with an empty text, any other with nothing.
            let of_texts = entries.values().all(|value| matches!(value, Value::Text(_)));
            let zero = if of_texts { Value::from("") } else { Value::Absent };
            Ok(entries.remove(name).unwrap_or(zero))
        }
        (Value::NilMap, Value::Text(_)) => Ok(Value::from("")),
        (Value::Record(fields), Value::Text(name)) => {
            Ok(fields.into_iter().find(|(known, _)| known == name).map_or(Value::Absent, |(_, value)| value))
        }
        (Value::List(items), Value::Int(at)) => usize::try_from(*at)
            .ok()
            .and_then(|at| items.into_iter().nth(at))
            .ok_or_else(|| out_of_range(*at)),
        (Value::NilList, Value::Int(at)) => Err(out_of_range(*at)),
        (Value::Text(text), Value::Int(at)) => {
            let byte = usize::try_from(*at).ok().and_then(|at| text.as_bytes().get(at).copied());
            byte.map(|byte| Value::Int(i64::from(byte))).ok_or_else(|| out_of_range(*at))
        }
        (Value::List(_) | Value::NilList | Value::Text(_), key) => {
            failed(format!("cannot index slice/array with type {}", key.type_name()))
        }
        (Value::Map(_) | Value::NilMap | Value::Record(_), key) => {
            failed(format!("value has type {}; should be string", key.type_name()))
        }
        (Value::Absent | Value::Nil, _) => failed("index of untyped nil"),
        (other, _) => failed(format!("can't index item of type {}", other.type_name())),
    }
}

fn out_of_range(at: i64) -> Refusal {
    Refusal::Failed(format!("index out of range: {at}"))
}

fn slice(arguments: Vec<Value>) -> Outcome {
    let got = arguments.len();
    let mut arguments = arguments.into_iter();
    let Some(value) = arguments.next() else {
        return Err(Refusal::WrongCount("wrong number of args for slice: want at least 1 got 0".to_owned()));
    };
    if got > 3 {
        return failed(format!("too many slice indexes: {}", got - 1));
    }
    let bounds =
        arguments.enumerate().map(|(at, value)| integer(at + 1, &value)).collect::<Result<Vec<_>, _>>()?;
    let length = match &value {
        Value::Text(text) => text.len(),
        Value::List(items) => items.len(),
        Value::NilList => 0,
        other => return failed(format!("can't slice item of type {}", other.type_name())),
    };
    let bound = |at: usize, default: usize| match bounds.get(at) {
        None => Ok(default),
        Some(at) => usize::try_from(*at).ok().filter(|at| *at <= length).ok_or_else(|| out_of_range(*at)),
    };
    let (from, to) = (bound(0, 0)?, bound(1, length)?);
    if from > to {
        return failed(format!("invalid slice index: {from} > {to}"));
    }
    Ok(match value {
        Value::Text(text) => Value::Text(String::from_utf8_lossy(&text.as_bytes()[from..to]).into_owned()),
        Value::List(items) => Value::List(items[from..to].to_vec()),
        other => other,
    })
}

/// Go's `Sprint`: a space between two values neither of which is text.
fn sprint(arguments: &[Value]) -> String {
    let mut output = String::new();
    for (at, value) in arguments.iter().enumerate() {
        let both_other =
            at > 0 && ![&arguments[at - 1], value].iter().any(|value| matches!(value, Value::Text(_)));
        if both_other {
            output.push(' ');
        }
        output.push_str(&shown(value));
    }
    output
}

fn sprintln(arguments: &[Value]) -> String {
    arguments.iter().map(shown).collect::<Vec<_>>().join(" ") + "\n"
}

fn shown(value: &Value) -> String {
    if *value == Value::Absent { "<nil>".to_owned() } else { print(value) }
}

fn formatted(arguments: &[Value]) -> Outcome {
    let Some((format, values)) = arguments.split_first() else {
        return Err(Refusal::WrongCount("wrong number of args for printf: want at least 1 got 0".to_owned()));
    };
    Ok(Value::Text(printf(&text(0, format.clone())?, values)))
}

fn join(arguments: Vec<Value>) -> Outcome {
    let [list, separator] = exactly("join", arguments)?;
    let separator = text(1, separator)?;
    let items = match list {
        Value::List(items) => items,
        Value::NilList | Value::Nil => Vec::new(),
        other => {
            return Err(Refusal::WrongType { argument: 0, expected: "[]string", got: other.type_name() });
        }
    };
    let texts = items.into_iter().map(|item| text(0, item)).collect::<Result<Vec<_>, _>>()?;
    Ok(Value::Text(texts.join(&separator)))
}

fn split(arguments: Vec<Value>) -> Outcome {
    let [whole, separator] = exactly("split", arguments)?;
    let (whole, separator) = (text(0, whole)?, text(1, separator)?);
    Ok(Value::List(if separator.is_empty() {
        whole.chars().map(|c| Value::Text(c.to_string())).collect()
    } else {
        whole.split(separator.as_str()).map(Value::from).collect()
    }))
}

/// Every first letter of a word as a capital.
fn title(text: &str) -> String {
    let mut previous = ' ';
    let mut titled = String::with_capacity(text.len());
    for c in text.chars() {
        let begins = !(previous.is_alphanumeric() || previous == '_');
        if begins {
            titled.extend(c.to_uppercase());
        } else {
            titled.push(c);
        }
        previous = c;
    }
    titled
}

fn pad(arguments: Vec<Value>) -> Outcome {
    let [source, before, after] = exactly("pad", arguments)?;
    let (source, before, after) = (text(0, source)?, integer(1, &before)?, integer(2, &after)?);
    if source.is_empty() {
        return Ok(Value::Text(source));
    }
    let spaces = |count: i64| match usize::try_from(count) {
        Ok(count) if count <= PAD_MAX as usize => Ok(" ".repeat(count)),
        _ => failed(format!("count {count} is not between 0 and {PAD_MAX}")),
    };
    Ok(Value::Text(spaces(before)? + &source + &spaces(after)?))
}

fn truncate(arguments: Vec<Value>) -> Outcome {
    let [source, length] = exactly("truncate", arguments)?;
    let (source, length) = (text(0, source)?, integer(1, &length)?);
    let Ok(length) = usize::try_from(length) else { return failed("slice bounds out of range") };
    let bytes = source.as_bytes();
    Ok(Value::Text(String::from_utf8_lossy(&bytes[..length.min(bytes.len())]).into_owned()))
}
