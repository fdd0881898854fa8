//! `eq`, `ne`, `lt`, `le`, `gt`, `ge`.

use std::cmp::Ordering;

use super::Value;
use super::functions::{Outcome, Refusal, failed};

/// Calls the comparison `name`.
pub(super) fn call(name: &str, arguments: &[Value]) -> Outcome {
    let Some((first, others)) = arguments.split_first() else {
        return Err(Refusal::WrongCount(format!("wrong number of args for {name}: want at least 1 got 0")));
    };
    if name == "eq" {
        return any_equal(first, others);
    }
    let [second] = others else {
        let got = arguments.len();
        return Err(Refusal::WrongCount(format!("wrong number of args for {name}: want 2 got {got}")));
    };
    if name == "ne" {
        return Ok(Value::Bool(!equal(first, second)?));
    }
    let order = order(first, second)?;
    Ok(Value::Bool(match name {
        "lt" => order == Some(Ordering::Less),
        "le" => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        "gt" => order == Some(Ordering::Greater),
        _ => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
    }))
}

/// `eq` with more than two arguments asks whether the first equals any of the others.
fn any_equal(first: &Value, others: &[Value]) -> Outcome {
    if others.is_empty() {
        return failed("missing argument for comparison");
    }
    for other in others {
        if equal(first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn is_nothing(value: &Value) -> bool {
    matches!(value, Value::Absent | Value::Nil | Value::NilList | Value::NilMap)
}

fn equal(a: &Value, b: &Value) -> Result<bool, Refusal> {
    match (a, b) {
        (a, b) if is_nothing(a) || is_nothing(b) => Ok(is_nothing(a) && is_nothing(b)),
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Int(a), Value::Int(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Text(a), Value::Text(b)) => Ok(a == b),
        (Value::List(_) | Value::Map(_), _) | (_, Value::List(_) | Value::Map(_)) => {
            failed(format!("non-comparable type {}", if is_plain(a) { b.type_name() } else { a.type_name() }))
        }
        (Value::Record(a), Value::Record(b)) => Ok(a == b),
        _ => failed("incompatible types for comparison"),
    }
}

fn is_plain(value: &Value) -> bool {
    !matches!(value, Value::List(_) | Value::Map(_) | Value::Record(_))
}

fn order(a: &Value, b: &Value) -> Result<Option<Ordering>, Refusal> {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => Ok(Some(a.cmp(b))),
        (Value::Float(a), Value::Float(b)) => Ok(a.partial_cmp(b)),
        (Value::Text(a), Value::Text(b)) => Ok(Some(a.cmp(b))),
        (
            Value::Int(_) | Value::Float(_) | Value::Text(_),
            Value::Int(_) | Value::Float(_) | Value::Text(_),
        ) => failed("incompatible types for comparison"),
        _ => failed("invalid type for comparison"),
    }
}
