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
    for chunk in text.utf8_chunks() {
        put_valid(to, chunk.valid().as_bytes());
        if !chunk.invalid().is_empty() {
            to.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

fn put_valid(to: &mut Vec<u8>, mut text: &[u8]) {
    let is_special = |byte: &u8| *byte < b' ' || *byte == b'"' || *byte == b'\\';
    while let Some(index) = text.iter().position(is_special) {
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
