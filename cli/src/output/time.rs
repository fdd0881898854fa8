//! Points in time as text.

use std::time::{Duration, SystemTime};

use jiff::tz::TimeZone;
use jiff::{Span, SpanRelativeTo, Timestamp, ZonedDateTime};

/// `2026-11-27T14:09:00Z`.
pub(crate) fn rfc3339(unix_s: i64) -> String {
    timestamp(unix_s).to_string()
}

/// `2026-11-27T14:09:00.123456789Z`, without trailing zeros, as Go's `RFC3339Nano`.
pub(crate) fn rfc3339_nano(at: SystemTime) -> String {
    Timestamp::try_from(at).unwrap_or(Timestamp::UNIX_EPOCH).to_string()
}

/// `2026-11-27 15:09:00 +0100 CET`: the user's clock, in the layout of Go's `Time.String`.
pub(crate) fn local(unix_s: i64) -> String {
    in_zone(unix_s, TimeZone::system())
}

fn in_zone(unix_s: i64, zone: TimeZone) -> String {
    ZonedDateTime::new(timestamp(unix_s), zone).strftime("%Y-%m-%d %H:%M:%S %z %Z").to_string()
}

/// How old something may be, as people write it: `90s`, `1h30m`, `7d`, `2w`. Days have 24 hours.
pub(crate) fn parse_age(text: &str) -> Result<Duration, String> {
    let wrong = || format!("invalid age `{text}`, expected a time like 30m, 1h30m, 7d or 2w");
    let span: Span = text.trim().parse().map_err(|_| wrong())?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|_| wrong())?;
    Duration::try_from(duration).map_err(|_| wrong())
}

fn timestamp(unix_s: i64) -> Timestamp {
    Timestamp::from_second(unix_s).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn ages_are_read() {
        let seconds = |text: &str| parse_age(text).map(|age| age.as_secs());
        assert_eq!(seconds("0s"), Ok(0));
        assert_eq!(seconds("1h30m"), Ok(5_400));
        assert_eq!(seconds("7d"), Ok(7 * 86_400));
        assert_eq!(seconds("2w 1d"), Ok(15 * 86_400));
        for wrong in ["", "7", "1y", "1mo", "-1h", "soon"] {
            assert_eq!(
                seconds(wrong),
                Err(format!("invalid age `{wrong}`, expected a time like 30m, 1h30m, 7d or 2w"))
            );
        }
    }

    #[test]
    fn times_have_gos_layouts() {
        assert_eq!(rfc3339(1_700_000_000), "2023-11-14T22:13:20Z");
        let at = SystemTime::UNIX_EPOCH + Duration::new(1_700_000_000, 120_000_000);
        assert_eq!(rfc3339_nano(at), "2023-11-14T22:13:20.12Z");
        assert_eq!(in_zone(1_700_000_000, TimeZone::UTC), "2023-11-14 22:13:20 +0000 UTC");
        let berlin = TimeZone::posix("CET-1CEST,M3.5.0,M10.5.0/3").unwrap();
        assert_eq!(in_zone(1_690_000_000, berlin), "2023-07-22 06:26:40 +0200 CEST");
    }
}
