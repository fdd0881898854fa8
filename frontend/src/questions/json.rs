//! Answers as JSON, with the names and the order of BuildKit's fields.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Lines;

/// Lines of one instruction that are listed one by one; a longer instruction is one range.
const LISTED_LINES_MAX: usize = 200;

/// A value on its way to text.
pub(super) enum Json {
    /// An empty list, where Go has not made one.
    Null,
    Text(String),
    Number(usize),
    Bool(bool),
    List(Vec<Json>),
    /// Fields in order.
    Object(Vec<(&'static str, Json)>),
}

impl Json {
    /// Bytes as Go's JSON writes them.
    pub(super) fn base64(bytes: &[u8]) -> Self {
        Self::Text(STANDARD.encode(bytes))
    }

    /// The place of an answer in the first and only source. Each line is a range, as in BuildKit.
    pub(super) fn location(lines: &Lines) -> Self {
        let position = |line: usize| Self::Object(vec![("line", Self::Number(line))]);
        let range = |start, end| Self::Object(vec![("start", position(start)), ("end", position(end))]);
        let ranges = match lines.clone().count() {
            0..=LISTED_LINES_MAX => lines.clone().map(|line| range(line, line)).collect(),
            _ => vec![range(*lines.start(), *lines.end())],
        };
        Self::Object(vec![("ranges", Self::List(ranges))])
    }

    /// The text, two blanks for each level, without a line feed at the end.
    pub(super) fn render(&self) -> String {
        let mut out = String::new();
        self.write(0, &mut out);
        out
    }

    fn write(&self, level: usize, out: &mut String) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Text(text) => out.push_str(&serde_json::Value::from(text.as_str()).to_string()),
            Self::Number(number) => out.push_str(&number.to_string()),
            Self::Bool(bool) => out.push_str(&bool.to_string()),
            Self::List(items) => {
                block(['[', ']'], items, level, out, |item, out| item.write(level + 1, out));
            }
            Self::Object(fields) => block(['{', '}'], fields, level, out, |(name, value), out| {
                out.push_str(&format!("\"{name}\": "));
                value.write(level + 1, out);
            }),
        }
    }
}

/// Items between brackets, each on a line of its own.
fn block<T>(
    [open, close]: [char; 2],
    items: &[T],
    level: usize,
    out: &mut String,
    write: impl Fn(&T, &mut String),
) {
    out.push(open);
    for (index, item) in items.iter().enumerate() {
        out.push_str(if index == 0 { "\n" } else { ",\n" });
        out.push_str(&"  ".repeat(level + 1));
        write(item, out);
    }
    if !items.is_empty() {
        out.push('\n');
        out.push_str(&"  ".repeat(level));
    }
    out.push(close);
}

/// Fields of an object; those without a value are left out.
#[derive(Default)]
pub(super) struct Fields(Vec<(&'static str, Json)>);

impl Fields {
    /// A field that is always there.
    pub(super) fn with(mut self, name: &'static str, value: Json) -> Self {
        self.0.push((name, value));
        self
    }

    /// A text, unless it is empty.
    pub(super) fn text(self, name: &'static str, value: &str) -> Self {
        if value.is_empty() { self } else { self.with(name, Json::Text(value.to_owned())) }
    }

    /// `true`, or nothing.
    pub(super) fn flag(self, name: &'static str, value: bool) -> Self {
        if value { self.with(name, Json::Bool(true)) } else { self }
    }

    /// A list, unless it is empty.
    pub(super) fn list(self, name: &'static str, items: Vec<Json>) -> Self {
        if items.is_empty() { self } else { self.with(name, Json::List(items)) }
    }

    pub(super) fn object(self) -> Json {
        Json::Object(self.0)
    }
}
