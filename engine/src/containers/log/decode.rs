//! Reads one entry of Docker's format `json-file`.

use executor::Stream;
use serde::Deserialize;

use super::LogEntry;
use crate::scan::special;

/// The entry in a line; none in one that was cut when the machine went down.
pub(super) fn entry(line: &[u8]) -> Option<LogEntry> {
    plain(line).or_else(|| any(line))
}

/// The entry in a line as we write it, without rare characters. To read JSON takes twice as long.
fn plain(line: &[u8]) -> Option<LogEntry> {
    let (log, rest) = text(line.strip_prefix(b"{\"log\":\"")?)?;
    let rest = rest.strip_prefix(b",\"stream\":\"")?;
    let (stream, rest) = match rest.strip_prefix(b"stdout") {
        Some(rest) => (Stream::Stdout, rest),
        None => (Stream::Stderr, rest.strip_prefix(b"stderr")?),
    };
    let (time, rest) = text(rest.strip_prefix(b"\",\"time\":\"")?)?;
    (rest == b"}").then_some(LogEntry { log, stream, time })
}

/// The string up to its closing quote, and what follows that.
fn text(mut from: &[u8]) -> Option<(String, &[u8])> {
    let mut text = Vec::new();
    loop {
        let at = special(from)?;
        text.extend_from_slice(&from[..at]);
        let escaped = match from[at] {
            b'"' => return Some((String::from_utf8(text).ok()?, &from[at + 1..])),
            b'\\' => *from.get(at + 1)?,
            _ => return None,
        };
        text.push(match escaped {
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'"' | b'\\' => escaped,
            _ => return None,
        });
        from = &from[at + 2..];
    }
}

fn any(line: &[u8]) -> Option<LogEntry> {
    #[derive(Deserialize)]
    struct Entry {
        log: String,
        stream: String,
        time: String,
    }
    let Entry { log, stream, time } = serde_json::from_slice(line).ok()?;
    let stream = if stream == "stderr" { Stream::Stderr } else { Stream::Stdout };
    Some(LogEntry { log, stream, time })
}

#[cfg(test)]
mod tests {
    use super::super::encode::{ending, put_entry};
    use super::*;

    #[test]
    fn what_is_written_is_read_in_both_ways() {
        for stream in [Stream::Stdout, Stream::Stderr] {
            for log in ["", "plain\n", "a \"quoted\" \\ b\r\n", "\ttab and é\n", "\u{1b}[0m rare\n"] {
                let mut line = Vec::new();
                put_entry(&mut line, log.as_bytes(), &ending(stream, "2026-01-01T00:00:00Z"));
                let line = line.strip_suffix(b"\n").unwrap();
                let expected = LogEntry { log: log.into(), stream, time: "2026-01-01T00:00:00Z".into() };
                assert_eq!(any(line), Some(expected.clone()), "{log:?}");
                assert_eq!(plain(line).is_some(), !log.contains('\u{1b}'), "{log:?}");
                assert_eq!(entry(line), Some(expected));
            }
        }
    }

    #[test]
    fn what_docker_writes_is_read_as_well() {
        let line = br#"{ "time": "t", "attrs": {"a": "b"}, "stream": "stderr", "log": "\u00e9" }"#;
        let expected = LogEntry { log: "é".into(), stream: Stream::Stderr, time: "t".into() };
        assert_eq!(entry(line), Some(expected));
        for half in [&b"{\"log\":\"x"[..], b"{\"log\":\"x\\", b"", b"{}", b"{\"log\":\"\xff\"}"] {
            assert_eq!(entry(half), None);
        }
    }
}
