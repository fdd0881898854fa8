//! Numbers as people read them, in Docker's words.

use std::time::Duration;

const UNITS: [&str; 9] = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];

const BINARY_UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;

/// Characters of an id that people see.
const SHORT_ID_CHARS: usize = 12;

/// A size with as many significant digits as asked, in powers of 1000: `74.8MB`.
pub(crate) fn size(bytes: u64, digits: usize) -> String {
    let (value, unit) = scaled(bytes);
    let whole_digits = 1 + value.max(1.0).log10() as usize;
    let decimals = digits.saturating_sub(whole_digits);
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    // Like Go's `%.3g`, 999.9 with three digits is no longer below a thousand.
    format!("{}{unit}", if text == "1000" && digits < 4 { "1e+03" } else { text })
}

/// A size with two decimals, as progress shows it: `1.05MB`; bytes are whole.
pub(crate) fn size_fixed(bytes: u64) -> String {
    match scaled(bytes) {
        (value, "B") => format!("{value:.0}B"),
        (value, unit) => format!("{value:.2}{unit}"),
    }
}

/// A size in powers of 1024, as Docker shows memory: `23.45GiB`.
pub(crate) fn size_binary(bytes: u64) -> String {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < BINARY_UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = 3_usize.saturating_sub(value.max(1.0).log10() as usize);
    let text = format!("{value:.decimals$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text}{}", BINARY_UNITS[unit])
}

fn scaled(bytes: u64) -> (f64, &'static str) {
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1000.0 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    (value, UNITS[unit])
}

/// How long something took or how old it is: `About an hour`, `3 weeks`.
pub(crate) fn age(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let hours = (seconds + HOUR / 2) / HOUR;
    match seconds {
        0 => "Less than a second".to_owned(),
        1 => "1 second".to_owned(),
        _ if seconds < MINUTE => format!("{seconds} seconds"),
        _ if seconds < 2 * MINUTE => "About a minute".to_owned(),
        _ if seconds < HOUR => format!("{} minutes", seconds / MINUTE),
        _ if hours == 1 => "About an hour".to_owned(),
        _ if hours < 48 => format!("{hours} hours"),
        _ if hours < 14 * 24 => format!("{} days", hours / 24),
        _ if hours < 60 * 24 => format!("{} weeks", hours / 24 / 7),
        _ if hours < 2 * 365 * 24 => format!("{} months", hours / 24 / 30),
        _ => format!("{} years", seconds / DAY / 365),
    }
}

/// The first twelve digits of an id, without its algorithm.
pub(crate) fn truncate_id(id: &str) -> String {
    let digits = id.split_once(':').map_or(id, |(_, digits)| digits);
    digits.chars().take(SHORT_ID_CHARS).collect()
}

/// At most `width` columns of a text; an ellipsis is the last of them if there was more.
pub(crate) fn ellipsis(text: &str, width: usize) -> String {
    use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};
    if text.width() <= width {
        return text.to_owned();
    }
    let mut used = 0;
    let fits = |c: &char| {
        used += c.width().unwrap_or(0);
        used < width
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_dockers_digits() {
        let shown: Vec<String> =
            [0, 7, 999, 1000, 1234, 12_345, 74_800_000, 999_900, 1_230_000_000, u64::MAX]
                .map(|b| size(b, 3))
                .into();
        insta::assert_snapshot!(shown.join(" "), @"0B 7B 999B 1kB 1.23kB 12.3kB 74.8MB 1e+03kB 1.23GB 18.4EB");
        insta::assert_snapshot!(size(123_456_789, 4), @"123.5MB");
        insta::assert_snapshot!(size_binary(25_177_784_320), @"23.45GiB");
        let fixed: Vec<String> = [0, 31, 2048, 1_050_000].map(size_fixed).into();
        insta::assert_snapshot!(fixed.join(" "), @"0B 31B 2.05kB 1.05MB");
    }

    #[test]
    fn ages_have_dockers_words() {
        let at = [
            0, 1, 59, 60, 119, 120, 3599, 3600, 5399, 5400, 172_799, 172_800, 1_209_600, 5_184_000,
            63_072_000,
        ];
        let shown = at.map(|seconds| format!("{seconds} {}", age(Duration::from_secs(seconds)))).join("\n");
        insta::assert_snapshot!(shown, @r"
        0 Less than a second
        1 1 second
        59 59 seconds
        60 About a minute
        119 About a minute
        120 2 minutes
        3599 59 minutes
        3600 About an hour
        5399 About an hour
        5400 2 hours
        172799 2 days
        172800 2 days
        1209600 2 weeks
        5184000 2 months
        63072000 2 years
        ");
    }

    #[test]
    fn texts_are_cut_by_columns() {
        assert_eq!(ellipsis("short", 10), "short");
        assert_eq!(ellipsis("exactly ten", 10), "exactly t…");
        assert_eq!(ellipsis("日本語日本語", 7), "日本語…");
    }
}
