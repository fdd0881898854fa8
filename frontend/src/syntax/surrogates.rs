//! Halves of characters in JSON: `\ud83d` without the other one means no character.

use std::borrow::Cow;

/// What stands for half a character, in Go as well.
const REPLACEMENT: &str = "\\ufffd";
/// Bytes of `\uXXXX`.
const ESCAPE_BYTES: usize = 6;

/// JSON in which every half of a character that has no other half is replaced, as Go reads it.
pub(super) fn replaced(json: &str) -> Cow<'_, str> {
    if !json.contains("\\u") {
        return Cow::Borrowed(json);
    }
    let mut out = String::with_capacity(json.len());
    let mut rest = json;
    while let Some(at) = rest.find('\\') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let length = match (unit(rest), rest.get(ESCAPE_BYTES..).and_then(unit)) {
            (Some(0xd800..=0xdbff), Some(0xdc00..=0xdfff)) => 2 * ESCAPE_BYTES,
            (Some(0xd800..=0xdfff), _) => {
                out.push_str(REPLACEMENT);
                rest = &rest[ESCAPE_BYTES..];
                continue;
            }
            (Some(_), _) => ESCAPE_BYTES,
            // The backslash, and what it escapes.
            (None, _) => 1 + rest[1..].chars().next().map_or(0, char::len_utf8),
        };
        out.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    out.push_str(rest);
    Cow::Owned(out)
}

/// The number in the `\uXXXX` that a text begins with.
fn unit(text: &str) -> Option<u16> {
    let digits = text.strip_prefix("\\u")?.get(..ESCAPE_BYTES - 2)?;
    let is_number = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_number.then(|| u16::from_str_radix(digits, 16).ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::replaced;

    #[test]
    fn halves_without_the_other_half_are_replaced() {
        for (text, expected) in [
            (r#"["a"]"#, r#"["a"]"#),
            (r#"["\ud83d"]"#, r#"["\ufffd"]"#),
            (r#"["\ude00\ud83d"]"#, r#"["\ufffd\ufffd"]"#),
            (r#"["\ud83d\ude00"]"#, r#"["\ud83d\ude00"]"#),
            (r#"["\uD83D\uD83D\uDE00!"]"#, r#"["\ufffd\uD83D\uDE00!"]"#),
            (r#"["\ud83d\u0041\\ud83d"]"#, r#"["\ufffd\u0041\\ud83d"]"#),
            (r#"["\ud83"]"#, r#"["\ud83"]"#),
            (r#"["\u+12f\é\"#, r#"["\u+12f\é\"#),
        ] {
            assert_eq!(replaced(text), expected, "{text}");
        }
    }
}
