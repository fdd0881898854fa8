//! One entry of Docker's format `json-file`.

use executor::Stream;

/// Adds a line `{"log":"...","stream":"stdout","time":"..."}`.
pub(super) fn put_entry(to: &mut Vec<u8>, stream: Stream, text: &[u8], time: &str) {
    to.extend_from_slice(b"{\"log\":\"");
    put_text(to, text);
    to.extend_from_slice(match stream {
        Stream::Stdout => b"\",\"stream\":\"stdout\",\"time\":\"",
        Stream::Stderr => b"\",\"stream\":\"stderr\",\"time\":\"",
    });
    to.extend_from_slice(time.as_bytes());
    to.extend_from_slice(b"\"}\n");
}

/// The inside of a JSON string. What is no UTF-8 becomes U+FFFD, as in Docker.
fn put_text(to: &mut Vec<u8>, text: &[u8]) {
    if std::str::from_utf8(text).is_ok() {
        put_valid(to, text);
        return;
    }
    for chunk in text.utf8_chunks() {
        put_valid(to, chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            to.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn put_valid(to: &mut Vec<u8>, mut text: &[u8]) {
    while let Some(index) = special(text) {
        to.extend_from_slice(&text[..index]);
        match text[index] {
            b'"' => to.extend_from_slice(b"\\\""),
            b'\\' => to.extend_from_slice(b"\\\\"),
            b'\n' => to.extend_from_slice(b"\\n"),
            b'\r' => to.extend_from_slice(b"\\r"),
            b'\t' => to.extend_from_slice(b"\\t"),
            other => to.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
        }
        text = &text[index + 1..];
    }
    to.extend_from_slice(text);
}

/// A one in each byte of a word, and the highest bit of each.
const ONES: u64 = u64::from_ne_bytes([1; WORD_BYTES]);
const HIGHEST: u64 = ONES << 7;
const WORD_BYTES: usize = size_of::<u64>();

/// The highest bit of each byte that is zero. Above the lowest of these it may say so of others, too.
fn zeros(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word & HIGHEST
}

fn each(byte: u8) -> u64 {
    ONES * u64::from(byte)
}

/// The first byte that a JSON string cannot have as it is. Looks at a word at a time: a log is as fast as this is.
fn special(text: &[u8]) -> Option<usize> {
    let in_word = |word: u64| {
        let control = word.wrapping_sub(each(b' ')) & !word & HIGHEST;
        control | zeros(word ^ each(b'"')) | zeros(word ^ each(b'\\'))
    };
    find(text, in_word, |byte| byte < b' ' || byte == b'"' || byte == b'\\')
}

/// The end of the first line.
pub(super) fn line_feed(text: &[u8]) -> Option<usize> {
    find(text, |word| zeros(word ^ each(b'\n')), |byte| byte == b'\n')
}

/// The first byte that is meant. `in_word` has a bit of it set, and none of a byte before it.
fn find(text: &[u8], in_word: impl Fn(u64) -> u64, is_meant: impl Fn(u8) -> bool) -> Option<usize> {
    let mut at = 0;
    while let Some(word) = text[at..].first_chunk::<WORD_BYTES>() {
        let found = in_word(u64::from_le_bytes(*word));
        if found != 0 {
            return Some(at + found.trailing_zeros() as usize / 8);
        }
        at += WORD_BYTES;
    }
    text[at..].iter().position(|byte| is_meant(*byte)).map(|index| at + index)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_say_what_bytes_say() {
        let is_special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
        for first in 0..=u8::MAX {
            for second in
                [0, 1, b'\n', 0x1f, b' ', b'!', b'"', b'#', b'[', b'\\', b']', 0x7f, 0x80, 0xa2, 0xff]
            {
                for at in 0..19 {
                    let mut text = [b'x'; 20];
                    (text[at], text[at + 1]) = (first, second);
                    assert_eq!(special(&text), text.iter().position(is_special), "{text:?}");
                    assert_eq!(line_feed(&text), text.iter().position(|byte| *byte == b'\n'), "{text:?}");
                }
            }
        }
    }

    #[test]
    fn an_entry_is_what_json_says() {
        let text = "a\"b\\c\td\u{1}é\n";
        let mut line = Vec::new();
        put_entry(&mut line, Stream::Stderr, &[text.as_bytes(), b"\xff"].concat(), "now");
        let entry: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(entry["log"], format!("{text}\u{fffd}"));
        assert_eq!((&entry["stream"], &entry["time"]), (&"stderr".into(), &"now".into()));
    }
}
