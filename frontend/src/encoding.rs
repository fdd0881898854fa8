//! Bytes to the text of a Dockerfile.

use crate::ast::Dockerfile;
use crate::diagnostic::{Diagnostic, Diagnostics};

/// What stands for bytes that are no text.
const REPLACEMENT: char = '\u{fffd}';

/// What texts in UTF-16 begin with.
const UTF_16: [[u8; 2]; 2] = [[0xff, 0xfe], [0xfe, 0xff]];

/// The text of a Dockerfile. Bytes that are no UTF-8 do no harm, as in BuildKit, which passes them on: here U+FFFD stands for
/// them, which [`crate::parse`] tells of unless it is in a comment. None for a text in UTF-16.
pub fn decode(bytes: Vec<u8>) -> Option<String> {
    if UTF_16.iter().any(|mark| bytes.starts_with(mark)) {
        return None;
    }
    let lossy = |error: std::string::FromUtf8Error| String::from_utf8_lossy(error.as_bytes()).into_owned();
    Some(String::from_utf8(bytes).unwrap_or_else(lossy))
}

/// Warns of the first replaced bytes that mean something.
pub(crate) fn check(text: &str, dockerfile: &Dockerfile, diagnostics: &mut Diagnostics) {
    let is_comment = |at: &usize| {
        let next = dockerfile.comments.partition_point(|comment| comment.start <= *at);
        next.checked_sub(1).is_some_and(|before| dockerfile.comments[before].contains(at))
    };
    let mut places = text.match_indices(REPLACEMENT).map(|(at, _)| at);
    let Some(at) = places.find(|at| !is_comment(at)) else { return };
    let message = "U+FFFD stands for bytes that are no UTF-8, and goes where they would have gone";
    diagnostics.push(
        Diagnostic::warning("NotUtf8", at..at + REPLACEMENT.len_utf8(), message)
            .with_help("save the Dockerfile as UTF-8".to_owned()),
    );
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn what_is_no_text_is_replaced() {
        for (bytes, expected) in [
            (&b"FROM a\n"[..], Some("FROM a\n")),
            (b"# caf\xe9\nFROM a\n", Some("# caf\u{fffd}\nFROM a\n")),
            (b"\xff\xfeF\0", None),
            (b"\xfe\xff\0F", None),
        ] {
            assert_eq!(decode(bytes.to_vec()).as_deref(), expected, "{bytes:?}");
        }
    }
}
