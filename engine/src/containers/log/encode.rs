//! One entry of Docker's format `json-file`.

use executor::Stream;

use crate::scan::special;

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

#[cfg(test)]
mod tests {
    use super::*;

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
