//! Finds out what nobody uses, and removes it, least recently used first.

mod batch;
mod census;
mod collect;
pub(crate) mod growth;
mod lease;
mod news;
mod plan;
mod size;
mod touch;

pub(crate) use census::{Census, Keeping, NANOSECONDS};
pub use collect::Space;
pub use growth::Filling;
pub(crate) use growth::Growth;
pub(crate) use lease::{Claim, Claims, Leases};
pub(crate) use touch::Hits;

use self::plan::Candidate;
use crate::UsageKind;

/// What may go, and how much may stay. Without limits everything goes that nobody uses and that passes the
/// filters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PruneOptions {
    /// Only what was not used for this many seconds.
    pub until_age_s: Option<u64>,
    /// Not more than this stays, in bytes.
    pub max_used_bytes: Option<u64>,
    /// This much stays in any case; alone, it is also the most that stays.
    pub reserved_bytes: Option<u64>,
    /// So much goes that the file system has this many free bytes.
    pub min_free_bytes: Option<u64>,
    /// Only what has one of these ids, or beginnings of ids; none is everything.
    pub ids: Vec<String>,
    /// Only what is of one of these kinds; none is everything.
    pub kinds: Vec<UsageKind>,
    /// Also records of layers that images stand on, which frees next to nothing.
    pub all: bool,
}

/// What a collection removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pruned {
    /// Names of layers, cache mounts, contexts, logs, blobs, and keys of records that stood for themselves.
    pub ids: Vec<String>,
    /// Sum of their sizes.
    pub bytes: u64,
}

impl PruneOptions {
    fn passes(&self, candidate: &Candidate, now_unix_s: i64) -> bool {
        let age = now_unix_s.saturating_sub(candidate.used_unix_ns.div_euclid(NANOSECONDS));
        let is_old = self.until_age_s.is_none_or(|until| u64::try_from(age).is_ok_and(|age| age >= until));
        let is_named = self.ids.is_empty() || self.ids.iter().any(|id| candidate.id.starts_with(id));
        let is_asked_for = self.all || !candidate.unit.is_of_image();
        let is_kind = self.kinds.is_empty() || self.kinds.contains(&candidate.kind);
        is_old && is_named && is_asked_for && is_kind
    }

    /// Whether everything that nobody uses is to go, whatever it is.
    fn has_no_filter(&self) -> bool {
        self.ids.is_empty() && self.kinds.is_empty()
    }
}
