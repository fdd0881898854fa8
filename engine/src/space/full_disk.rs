//! What to do when the disk is full: remove what was used least recently, and try again.

use std::error::Error;
use std::io::{self, ErrorKind};
use std::sync::Arc;

use cache::{Store, StoreError};

use crate::blocking::blocking;
use crate::{BuildError, DiskState};

/// How often the same work is tried with more room. Each time there is twice as much more.
const ROUNDS_MAX: u32 = 8;
/// The same for a step that failed while the disk was full, maybe of something else.
const STEP_ROUNDS_MAX: u32 = 4;
/// What the first attempt makes free, as a part of the disk.
const ROOM_PARTS: u64 = 32;
const ROOM_BYTES_MIN: u64 = 1 << 20;
const ROOM_BYTES_MAX: u64 = 1 << 30;
/// A process that met a full disk leaves less than this free.
const FULL_BYTES: u64 = 16 << 20;

/// Attempts to do something that met a full disk.
#[derive(Debug, Default)]
pub(crate) struct Attempts(u32);

impl Attempts {
    /// Whether it is worth another attempt: the disk was full, and there is more room now.
    pub(crate) async fn again(&mut self, store: &Arc<Store>, error: &BuildError) -> bool {
        let is_worth_it = match error {
            // It may have failed of something else.
            BuildError::Step(failure) => failure.disk == DiskState::Full && self.0 < STEP_ROUNDS_MAX,
            error => is_full(error),
        };
        if !is_worth_it {
            return false;
        }
        let (store, round) = (store.clone(), self.0);
        self.0 += 1;
        blocking(move || evict(&store, round)).await
    }
}

/// Does `work` on the store, again when the disk was full and there is more room now.
pub(crate) fn with_room<T>(
    store: &Store,
    mut work: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    for round in 0.. {
        match work() {
            Err(error) if is_full(&error) && evict(store, round) => {}
            result => return result,
        }
    }
    unreachable!("the rounds are limited")
}

/// Makes room; whether there is more of it.
fn evict(store: &Store, round: u32) -> bool {
    if round >= ROUNDS_MAX {
        return false;
    }
    let evicted = store.space().and_then(|space| {
        let room = (space.size_bytes / ROOM_PARTS).clamp(ROOM_BYTES_MIN, ROOM_BYTES_MAX) << round;
        store.make_room(space.free_bytes.saturating_add(room))
    });
    match evicted {
        Ok(pruned) => {
            tracing::info!(bytes = pruned.bytes, "the disk was full, and cache was removed");
            pruned.bytes > 0
        }
        // The error that matters is that of the work.
        Err(error) => {
            tracing::warn!(%error, "the disk is full, and no cache can be removed");
            false
        }
    }
}

/// Whether the disk of the store is as full as after somebody has tried to write too much.
pub(crate) fn has_no_room(store: &Store) -> bool {
    store.space().is_ok_and(|space| space.writable_bytes < FULL_BYTES.min(space.size_bytes / ROOM_PARTS))
}

/// Whether an error, or one of its causes, is a full disk.
fn is_full(error: &(dyn Error + 'static)) -> bool {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if kind(error).is_some_and(|kind| matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)) {
            return true;
        }
        cause = error.source();
    }
    false
}

/// What the kernel said, in whatever form.
fn kind(error: &(dyn Error + 'static)) -> Option<ErrorKind> {
    if let Some(error) = error.downcast_ref::<io::Error>() {
        return Some(error.kind());
    }
    if let Some(errno) = error.downcast_ref::<rustix::io::Errno>() {
        return Some(errno.kind());
    }
    let errno = error.downcast_ref::<executor::Errno>()?;
    Some(io::Error::from_raw_os_error(errno.0).kind())
}

#[cfg(test)]
mod tests {
    use executor::{Errno, SandboxError};

    use super::*;

    #[test]
    fn a_full_disk_is_found_among_the_causes() {
        let full = || io::Error::from_raw_os_error(28);
        assert!(is_full(&full()));
        assert!(is_full(&StoreError::Write { path: "x".into(), source: full() }));
        let sandbox = |errno| SandboxError::Kernel { call: "mkdirat".into(), source: Errno(errno) };
        assert!(is_full(&sandbox(28)) && is_full(&sandbox(122)));
        assert!(!is_full(&sandbox(5)));
        assert!(!is_full(&StoreError::Write { path: "x".into(), source: io::Error::from_raw_os_error(5) }));
    }
}
