//! How much of a disk the build cache may take, and what goes first when it takes more.
//!
//! The rules and their defaults are those of BuildKit's garbage collection.

use std::str::FromStr;

use cache::{Filling, PruneOptions, Space, UsageKind};

const GIGABYTE: u64 = 1_000_000_000;
/// What is easily made again stays for so long, whatever it takes.
const TRANSIENT_AGE_SECONDS: u64 = 48 * 60 * 60;
/// So much of the cache may be what is easily made again.
const TRANSIENT_BYTES: u64 = 512_000_000;
/// What nobody used for so long goes before anything else.
const OLD_AGE_SECONDS: u64 = 60 * 24 * 60 * 60;
/// A collection frees one part in so many more than it has to, so that it is not due again at once.
const SLACK_PARTS: u64 = 64;

/// A part of a disk, `20%` or a number of bytes. Zero is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Share {
    /// So many bytes.
    Bytes(u64),
    /// So much of the file system that the store is on.
    Percent(u64),
    /// So much of the file system, but not more than so many bytes.
    PercentAtMost(u64, u64),
}

/// A text is not a share of a disk.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid share of a disk `{text}`, expected bytes (10g) or a percentage (20%)")]
pub struct ShareError {
    /// As given.
    pub text: String,
}

/// The limits of the build cache. Images and what runs are beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ceiling {
    /// The cache takes no more than this.
    pub max_used: Share,
    /// So much of it stays, even where `min_free` asks for more.
    pub reserved: Share,
    /// So much of the file system stays free, if that can be had from the cache.
    pub min_free: Share,
}

impl Default for Ceiling {
    /// As in BuildKit: 80 % of the disk or 100 GB, of which 10 % or 10 GB stay; 20 % of the disk are kept free.
    fn default() -> Self {
        Self {
            max_used: Share::PercentAtMost(80, 100 * GIGABYTE),
            reserved: Share::PercentAtMost(10, 10 * GIGABYTE),
            min_free: Share::Percent(20),
        }
    }
}

impl FromStr for Share {
    type Err = ShareError;

    /// Reads `20%`, or bytes with the suffixes of Docker, each of which is 1024 times the one before.
    fn from_str(text: &str) -> Result<Self, ShareError> {
        let wrong = || ShareError { text: text.to_owned() };
        if let Some(number) = text.trim().strip_suffix('%') {
            return match number.parse() {
                Ok(percent @ 0..=100) => Ok(Self::Percent(percent)),
                _ => Err(wrong()),
            };
        }
        parse_bytes(text).map(Self::Bytes).ok_or_else(wrong)
    }
}

/// `512m`, `10GB`, `1.5gib`: bytes. Each suffix is 1024 times the one before, as Docker reads them.
pub fn parse_bytes(text: &str) -> Option<u64> {
    const UNITS: &str = "bkmgtp";
    let lower = text.trim().to_ascii_lowercase();
    let end = lower.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(lower.len());
    let (number, unit) = (lower[..end].parse::<f64>().ok()?, lower[end..].trim());
    let power = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(unit) {
        "" => 0,
        letter if letter.len() == 1 => UNITS.find(letter)?,
        _ => return None,
    };
    let bytes = number * 1024_f64.powi(i32::try_from(power).ok()?);
    (bytes.is_finite() && bytes < u64::MAX as f64).then_some(bytes as u64)
}

impl Share {
    /// None where there is no limit.
    fn bytes(self, disk: Space) -> Option<u64> {
        let percent = |percent: u64| disk.size_bytes / 100 * percent;
        let bytes = match self {
            Self::Bytes(bytes) => bytes,
            Self::Percent(part) => percent(part),
            Self::PercentAtMost(part, most) => percent(part).min(most),
        };
        (bytes > 0).then_some(bytes)
    }
}

impl Ceiling {
    /// What is to be removed, in this order; nothing where nothing is limited.
    pub(super) fn rules(&self, disk: Space) -> Vec<PruneOptions> {
        let slackened = self.max_used.bytes(disk).map(|bytes| bytes - bytes / SLACK_PARTS);
        let limits = PruneOptions {
            max_used_bytes: slackened,
            reserved_bytes: self.reserved.bytes(disk),
            min_free_bytes: self.min_free.bytes(disk),
            ..PruneOptions::default()
        };
        if limits == PruneOptions::default() {
            return Vec::new();
        }
        let transient = PruneOptions {
            kinds: vec![UsageKind::Context, UsageKind::CacheMount],
            until_age_s: Some(TRANSIENT_AGE_SECONDS),
            max_used_bytes: Some(TRANSIENT_BYTES),
            ..PruneOptions::default()
        };
        let old = PruneOptions { until_age_s: Some(OLD_AGE_SECONDS), ..limits.clone() };
        vec![transient, old, limits.clone(), PruneOptions { all: true, ..limits }]
    }

    /// Whether it is time to collect.
    pub(super) fn is_passed(&self, filling: Filling, disk: Space) -> bool {
        let (max_used, reserved, min_free) =
            (self.max_used.bytes(disk), self.reserved.bytes(disk), self.min_free.bytes(disk));
        if max_used.is_none() && reserved.is_none() && min_free.is_none() {
            return false;
        }
        let Filling::About { counted_bytes, added_bytes } = filling else { return true };
        let bytes = counted_bytes.saturating_add(added_bytes);
        let most = match (max_used, min_free) {
            (None, None) => reserved.unwrap_or(u64::MAX),
            (most, _) => most.unwrap_or(u64::MAX),
        };
        let lacking = min_free.unwrap_or(0).saturating_sub(disk.free_bytes);
        let keep = most.min(bytes.saturating_sub(lacking)).max(reserved.unwrap_or(0));
        // A collection that could not remove enough is not begun anew for every step.
        bytes > keep && (counted_bytes <= keep || added_bytes >= keep / SLACK_PARTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DISK: Space = Space { size_bytes: 1_000, free_bytes: 500, writable_bytes: 500 };

    fn about(counted_bytes: u64, added_bytes: u64) -> Filling {
        Filling::About { counted_bytes, added_bytes }
    }

    #[test]
    fn shares_are_bytes_or_parts_of_the_disk() {
        for (text, expected) in [
            ("20%", Some(Share::Percent(20))),
            ("10g", Some(Share::Bytes(10 << 30))),
            ("1.5 GiB", Some(Share::Bytes(3 << 29))),
            ("0", Some(Share::Bytes(0))),
            ("101%", None),
            ("%", None),
            ("much", None),
            ("-1", None),
            ("1kk", None),
        ] {
            assert_eq!(text.parse().ok(), expected, "{text}");
        }
        assert_eq!(Share::PercentAtMost(80, 100).bytes(DISK), Some(100));
        assert_eq!(Share::PercentAtMost(8, 100).bytes(DISK), Some(80));
    }

    #[test]
    fn a_collection_is_due_when_the_ceiling_is_passed() {
        let none = Share::Bytes(0);
        let ceiling = Ceiling { max_used: Share::Bytes(640), reserved: none, min_free: none };
        assert!(!ceiling.is_passed(about(600, 40), DISK));
        assert!(ceiling.is_passed(about(600, 41), DISK));
        assert!(ceiling.is_passed(Filling::Unknown, DISK));
        assert!(!ceiling.is_passed(about(700, 9), DISK), "the last collection could not do better");
        assert!(ceiling.is_passed(about(700, 10), DISK));
        let off = Ceiling { max_used: none, ..ceiling };
        assert!(!off.is_passed(Filling::Unknown, DISK) && off.rules(DISK).is_empty());
    }

    #[test]
    fn what_is_to_be_free_does_not_take_what_is_reserved() {
        let ceiling =
            Ceiling { max_used: Share::Bytes(0), reserved: Share::Bytes(100), min_free: Share::Bytes(600) };
        assert!(ceiling.is_passed(about(90, 11), DISK));
        assert!(!ceiling.is_passed(about(90, 10), DISK));
        let free = Space { free_bytes: 600, ..DISK };
        assert!(!ceiling.is_passed(about(900, 11), free));
    }

    #[test]
    fn the_rules_are_those_of_buildkit() {
        let disk = Space { size_bytes: 1_000 * GIGABYTE, free_bytes: 0, writable_bytes: 0 };
        let rules = Ceiling::default().rules(disk);
        let ages: Vec<_> = rules.iter().map(|rule| rule.until_age_s).collect();
        assert_eq!(ages, [Some(TRANSIENT_AGE_SECONDS), Some(OLD_AGE_SECONDS), None, None]);
        assert_eq!(rules.iter().map(|rule| rule.all).collect::<Vec<_>>(), [false, false, false, true]);
        let last = &rules[3];
        assert_eq!(last.reserved_bytes, Some(10 * GIGABYTE));
        assert_eq!(last.min_free_bytes, Some(200 * GIGABYTE));
        assert!(last.max_used_bytes.is_some_and(|bytes| bytes > 98 * GIGABYTE && bytes < 100 * GIGABYTE));
    }
}
