//! One entry of Docker's format `json-file`.

use executor::Stream;

use crate::scan::special;

const BEGINNING: &[u8] = b"{\"log\":\"";
/// A line feed, as JSON has it.
const LINE_FEED: &[u8] = b"\\n";

/// What follows the text of an entry: it is the same for all that is read at once.
pub(super) fn ending(stream: Stream, time: &str) -> Vec<u8> {
    let stream = match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    format!("\",\"stream\":\"{stream}\",\"time\":\"{time}\"}}\n").into_bytes()
}

/// Adds a line `{"log":"...","stream":"stdout","time":"..."}`.
pub(super) fn put_entry(to: &mut Vec<u8>, text: &[u8], ending: &[u8]) {
    to.extend_from_slice(BEGINNING);
    put_text(to, text);
    to.extend_from_slice(ending);
}

/// Adds the entry of the first line of a text, whose length it returns; nothing if the line does not end there, or is no
/// UTF-8 (what is valid is told by `valid`). Nearly all lines go this way, and each byte is looked at once.
pub(super) fn put_line(to: &mut Vec<u8>, text: &[u8], valid: usize, ending: &[u8]) -> Option<usize> {
    let (begin, text) = (to.len(), &text[..text.len().min(valid)]);
    to.extend_from_slice(BEGINNING);
    let mut from = 0;
    while let Some(length) = special(&text[from..]) {
        let at = from + length;
        to.extend_from_slice(&text[from..at]);
        from = at + 1;
        if text[at] == b'\n' {
            to.extend_from_slice(LINE_FEED);
            to.extend_from_slice(ending);
            return Some(from);
        }
        put_special(to, text[at]);
    }
    to.truncate(begin);
    None
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
        put_special(to, text[index]);
        text = &text[index + 1..];
    }
    to.extend_from_slice(text);
}

fn put_special(to: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => to.extend_from_slice(b"\\\""),
        b'\\' => to.extend_from_slice(b"\\\\"),
        b'\n' => to.extend_from_slice(LINE_FEED),
        b'\r' => to.extend_from_slice(b"\\r"),
        b'\t' => to.extend_from_slice(b"\\t"),
        other => to.extend_from_slice(format!("\\u{other:04x}").as_bytes()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_what_json_says() {
        let text = "a\"b\\c\td\u{1}é\n";
        let mut line = Vec::new();
        put_entry(&mut line, &[text.as_bytes(), b"\xff"].concat(), &ending(Stream::Stderr, "now"));
        let entry: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(entry["log"], format!("{text}\u{fffd}"));
        assert_eq!((&entry["stream"], &entry["time"]), (&"stderr".into(), &"now".into()));
    }

    #[test]
    fn a_line_is_the_entry_of_its_text() {
        let ending = ending(Stream::Stdout, "now");
        for line in ["\n", "plain\n", "a\"b\\c\td\u{1}é\r\n", "long enough for words of eight bytes\n"] {
            let (mut fast, mut slow) = (Vec::new(), Vec::new());
            let text = [line.as_bytes(), b"next"].concat();
            assert_eq!(put_line(&mut fast, &text, text.len(), &ending), Some(line.len()));
            put_entry(&mut slow, line.as_bytes(), &ending);
            assert_eq!(fast, slow, "{line:?}");
            // What is not known to be valid, or has no end, is left alone.
            assert_eq!(put_line(&mut fast, &text, line.len() - 1, &ending), None);
            assert_eq!(put_line(&mut fast, b"no end", 6, &ending), None);
            assert_eq!(fast, slow);
        }
    }
}
