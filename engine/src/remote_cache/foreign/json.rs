//! JSON as Go writes it, byte for byte: BuildKit's keys are digests of it.

/// How a generation of BuildKit writes its operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Dialect {
    /// As with its first library for protocol buffers: 0.13 of Docker 26, for example.
    Early,
    /// As with the one that it has now: 0.25 of Docker 28, for example.
    Late,
}

impl Dialect {
    pub(super) const ALL: [Self; 2] = [Self::Early, Self::Late];
}

/// An object, whose fields are in the order in which they are added. As with `omitempty`, what is empty is left out.
pub(super) struct Object(String);

impl Object {
    pub(super) fn new() -> Self {
        Self("{".to_owned())
    }

    /// A field that is there whatever its value, which is JSON.
    pub(super) fn always(mut self, name: &str, json: impl std::fmt::Display) -> Self {
        if self.0.len() > 1 {
            self.0.push(',');
        }
        self.0.push_str(&format!("\"{name}\":{json}"));
        self
    }

    pub(super) fn number(self, name: &str, number: i64) -> Self {
        if number == 0 { self } else { self.always(name, number) }
    }

    /// A number that early generations write also when it is 0.
    pub(super) fn index(self, dialect: Dialect, name: &str, number: i64) -> Self {
        match dialect {
            Dialect::Early => self.always(name, number),
            Dialect::Late => self.number(name, number),
        }
    }

    pub(super) fn flag(self, name: &str, flag: bool) -> Self {
        if flag { self.always(name, true) } else { self }
    }

    pub(super) fn text(self, name: &str, text: &str) -> Self {
        if text.is_empty() { self } else { self.always(name, quoted(text)) }
    }

    pub(super) fn object(self, name: &str, object: Option<Self>) -> Self {
        match object {
            Some(object) => self.always(name, object.finish()),
            None => self,
        }
    }

    /// A list of JSON.
    pub(super) fn list(self, name: &str, items: &[String]) -> Self {
        if items.is_empty() { self } else { self.always(name, list(items)) }
    }

    pub(super) fn finish(mut self) -> String {
        self.0.push('}');
        self.0
    }
}

pub(super) fn list(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}

/// A text as JSON that can stand in HTML.
pub(super) fn quoted(text: &str) -> String {
    let quoted = serde_json::Value::from(text).to_string();
    if !quoted.contains(['<', '>', '&', '\u{2028}', '\u{2029}']) {
        return quoted;
    }
    let mut escaped = String::with_capacity(quoted.len() + 8);
    for char in quoted.chars() {
        match char {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => {
                escaped.push_str(&format!("\\u{:04x}", u32::from(char)));
            }
            char => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_empty_is_left_out() {
        let object = Object::new().text("a", "").number("b", 0).flag("c", false).list("d", &[]);
        assert_eq!(object.number("e", -1).text("f", "x").finish(), r#"{"e":-1,"f":"x"}"#);
        assert_eq!(Object::new().index(Dialect::Early, "i", 0).finish(), r#"{"i":0}"#);
        assert_eq!(Object::new().index(Dialect::Late, "i", 0).finish(), "{}");
    }

    #[test]
    fn texts_are_safe_in_html() {
        assert_eq!(quoted("a<b> & \"c\"\n\u{2028}ä"), r#""a\u003cb\u003e \u0026 \"c\"\n\u2028ä""#);
    }
}
