//! Times as image configs and people write them.

use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// An RFC 3339 time in UTC, as Go writes it.
pub(crate) fn rfc3339(time: Timestamp) -> String {
    time.to_string()
}

/// The time of a config field.
pub(crate) fn parse_rfc3339(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

/// A moment as a filter gives it: a duration before `now` (`10m`, `1h30m`), seconds since 1970, or a date
/// with or without a time of day, in the local time zone when none is given.
pub(crate) fn parse_moment(text: &str, now: Timestamp) -> Option<Timestamp> {
    if let Some(time) = parse_unix(text).or_else(|| parse_rfc3339(text)) {
        return Some(time);
    }
    if let Ok(age) = text.parse::<SignedDuration>() {
        return now.checked_sub(age).ok();
    }
    let (date, zone) = match text.strip_suffix('Z') {
        Some(date) => (date, TimeZone::UTC),
        None => (text, TimeZone::system()),
    };
    zone.to_timestamp(date.parse::<DateTime>().ok()?).ok()
}

/// Seconds with an optional fraction.
fn parse_unix(text: &str) -> Option<Timestamp> {
    let (seconds, fraction) = text.split_once('.').unwrap_or((text, ""));
    if !(seconds.bytes().chain(fraction.bytes()).all(|byte| byte.is_ascii_digit())) || fraction.len() > 9 {
        return None;
    }
    // Eight digits could be a date of ISO 8601's basic form; Docker takes them for seconds.
    let nanoseconds: i32 = format!("{fraction:0<9}").parse().ok()?;
    Timestamp::new(seconds.parse().ok()?, nanoseconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_in_all_their_forms() {
        let now: Timestamp = "2026-01-02T03:04:05Z".parse().expect("a time");
        for (text, expected) in [
            ("10m", Some("2026-01-02T02:54:05Z")),
            ("1h30m", Some("2026-01-02T01:34:05Z")),
            ("1.5h", Some("2026-01-02T01:34:05Z")),
            ("24h", Some("2026-01-01T03:04:05Z")),
            ("1136073845", Some("2006-01-01T00:04:05Z")),
            ("1136073845.5", Some("2006-01-01T00:04:05.5Z")),
            ("2006-01-02T15:04:05.5Z", Some("2006-01-02T15:04:05.5Z")),
            ("2006-01-02T15:04:05+01:00", Some("2006-01-02T14:04:05Z")),
            ("2006-01-02T15:04Z", Some("2006-01-02T15:04:00Z")),
            ("2006-01-02Z", Some("2006-01-02T00:00:00Z")),
            ("", None),
            ("tomorrow", None),
            ("1.2.3", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_moment(text, now).map(rfc3339).as_deref(), expected, "{text}");
        }
        assert!(parse_moment("2006-01-02", now).is_some());
    }
}
