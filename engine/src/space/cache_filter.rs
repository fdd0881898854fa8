//! The filters of `builder prune`.

use cache::{PruneOptions, UsageKind};
use jiff::Timestamp;

use crate::images::parse_moment;

/// Names of kinds in filters and lists, in BuildKit's words where it has them.
const KINDS: [(&str, UsageKind); 5] = [
    ("regular", UsageKind::Layer),
    ("internal", UsageKind::Record),
    ("exec.cachemount", UsageKind::CacheMount),
    ("source.local", UsageKind::Context),
    ("log", UsageKind::Log),
];

/// A filter that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FilterError {
    /// There is no such filter.
    #[error("invalid filter `{text}`, expected one of id, type, until, unused-for as NAME=VALUE")]
    Unknown {
        /// As given.
        text: String,
    },
    /// The value is wrong.
    #[error("invalid value `{value}` of filter `{name}`, expected {expected}")]
    Value {
        /// Of the filter.
        name: &'static str,
        /// As given.
        value: String,
        /// What it should be.
        expected: String,
    },
}

/// Adds a filter, given as `NAME=VALUE`, to what is to be pruned.
pub fn add_filter(options: &mut PruneOptions, text: &str) -> Result<(), FilterError> {
    add_filter_at(options, text, Timestamp::now())
}

fn add_filter_at(options: &mut PruneOptions, text: &str, now: Timestamp) -> Result<(), FilterError> {
    let unknown = || FilterError::Unknown { text: text.to_owned() };
    let (name, value) = text.split_once('=').ok_or_else(unknown)?;
    let value = value.trim();
    match name.trim() {
        "until" | "unused-for" => {
            let wrong = || FilterError::Value {
                name: "until",
                value: value.to_owned(),
                expected: "an age (10m, 1h30m) or a time (2026-01-31, seconds since 1970)".to_owned(),
            };
            let moment = parse_moment(value, now).ok_or_else(wrong)?;
            let age = u64::try_from(now.as_second() - moment.as_second()).unwrap_or(0);
            options.until_age_s = options.until_age_s.max(Some(age));
        }
        "id" => options.ids.push(value.to_owned()),
        "type" => {
            let kind = KINDS.iter().find(|(known, _)| *known == value);
            let wrong = || FilterError::Value {
                name: "type",
                value: value.to_owned(),
                expected: format!("one of {}", KINDS.map(|(known, _)| known).join(", ")),
            };
            options.kinds.push(kind.ok_or_else(wrong)?.1);
        }
        _ => return Err(unknown()),
    }
    Ok(())
}

/// The name of a kind.
pub(super) fn kind_name(kind: UsageKind) -> &'static str {
    KINDS.iter().find(|(_, known)| *known == kind).expect("every kind has a name").0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(texts: &[&str]) -> Result<PruneOptions, String> {
        let now = Timestamp::from_second(1_000_000).expect("a time");
        let mut options = PruneOptions::default();
        for text in texts {
            add_filter_at(&mut options, text, now).map_err(|error| error.to_string())?;
        }
        Ok(options)
    }

    #[test]
    fn filters_are_read() {
        let expected = PruneOptions {
            until_age_s: Some(86_400),
            ids: vec!["abc".into()],
            kinds: vec![UsageKind::CacheMount],
            ..PruneOptions::default()
        };
        assert_eq!(parse(&["until=24h", "unused-for=10m", "id=abc", "type=exec.cachemount"]), Ok(expected));
    }

    #[test]
    fn wrong_filters_are_named() {
        insta::assert_snapshot!(parse(&["until"]).expect_err("no value"), @"invalid filter `until`, expected one of id, type, until, unused-for as NAME=VALUE");
        insta::assert_snapshot!(parse(&["until=soon"]).expect_err("no time"), @"invalid value `soon` of filter `until`, expected an age (10m, 1h30m) or a time (2026-01-31, seconds since 1970)");
        insta::assert_snapshot!(parse(&["type=x"]).expect_err("no kind"), @"invalid value `x` of filter `type`, expected one of regular, internal, exec.cachemount, source.local, log");
    }

    #[test]
    fn every_kind_has_a_name() {
        assert_eq!(kind_name(UsageKind::Layer), "regular");
        assert_eq!(kind_name(UsageKind::Log), "log");
    }
}
