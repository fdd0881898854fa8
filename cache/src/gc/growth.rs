//! How full the store is, without a look at everything in it.
//!
//! ```text
//! ROOT/filling    16 bytes for each note: a number of bytes, and a checksum of them
//! ```
//!
//! The first note is what the last collection counted, each later one what some process has added since. It is an
//! estimate that decides when it is time to count again, and nothing else: a note that is lost or damaged does no
//! harm, and so nothing here is locked or synced.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{Mode, OFlags, openat};
use xxhash_rust::xxh3::xxh3_64;

use crate::codec::Damage;
use crate::{Store, StoreError};

pub(crate) const FILE: &str = "filling";
const NOTE_BYTES: usize = 16;
/// With so many notes it is time to count again.
const NOTES_MAX: usize = 4096;

/// Bytes that one opening of the store has added and not noted yet.
#[derive(Default)]
pub(crate) struct Growth(AtomicU64);

/// How full a store seems to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Filling {
    /// Nobody has counted yet, or so long ago that nobody can tell.
    Unknown,
    /// About so much is there that could be collected.
    About {
        /// What the last collection has counted and left.
        counted_bytes: u64,
        /// What was added since.
        added_bytes: u64,
    },
}

impl Store {
    /// Something was added.
    pub(crate) fn grew(&self, size_bytes: u64) {
        self.inner.growth.0.fetch_add(size_bytes, Ordering::Relaxed);
    }

    /// Bytes that this opening has added since it noted them last.
    pub fn unnoted_growth_bytes(&self) -> u64 {
        self.inner.growth.0.load(Ordering::Relaxed)
    }

    /// Notes what this opening has added, and tells how full the store seems to be.
    pub fn note_growth(&self) -> Result<Filling, StoreError> {
        let grown = self.inner.growth.0.swap(0, Ordering::Relaxed);
        if grown > 0 {
            self.append(grown)?;
        }
        let bytes = self.disk().read(FILE, (NOTES_MAX * NOTE_BYTES) as u64)?.unwrap_or_default();
        Ok(decode(&bytes))
    }

    fn append(&self, bytes: u64) -> Result<(), StoreError> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        match openat(self.disk().fd(), FILE, flags, Mode::empty()) {
            Ok(file) => std::fs::File::from(file)
                .write_all(&encode(bytes))
                .map_err(|source| self.disk().write_error(FILE, source)),
            // The first note is that of a collection, or of the beginning of the store.
            Err(rustix::io::Errno::NOENT) => Ok(()),
            Err(error) => Err(self.disk().write_error(FILE, error)),
        }
    }

    /// A collection has counted what is there. Best effort: without it somebody counts again.
    pub(super) fn counted(&self, total_bytes: u64) {
        if let Err(error) = self.publish(FILE, &encode(total_bytes)) {
            tracing::debug!(%error, "cannot note how full the store is");
        }
    }
}

/// One note.
pub(crate) fn encode(bytes: u64) -> [u8; NOTE_BYTES] {
    let mut note = [0; NOTE_BYTES];
    note[..8].copy_from_slice(&bytes.to_le_bytes());
    note[8..].copy_from_slice(&xxh3_64(&bytes.to_le_bytes()).to_le_bytes());
    note
}

/// Checks that every note is whole.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Damage> {
    match decode(bytes) {
        Filling::Unknown if bytes.len() < NOTES_MAX * NOTE_BYTES => Err(Damage::Checksum),
        _ => Ok(()),
    }
}

fn decode(bytes: &[u8]) -> Filling {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("the slice has eight bytes"));
    let (notes, rest) = bytes.as_chunks::<NOTE_BYTES>();
    let is_whole = |note: &[u8; NOTE_BYTES]| xxh3_64(&note[..8]) == number(&note[8..]);
    let Some((counted, added)) = notes.split_first() else { return Filling::Unknown };
    if notes.len() >= NOTES_MAX || !rest.is_empty() || !notes.iter().all(is_whole) {
        return Filling::Unknown;
    }
    let added_bytes = added.iter().fold(0, |sum: u64, note| sum.saturating_add(number(&note[..8])));
    Filling::About { counted_bytes: number(&counted[..8]), added_bytes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notes_add_up_and_damage_is_not_believed() {
        let bytes = [encode(7), encode(5), encode(1 << 40)].concat();
        assert_eq!(decode(&bytes), Filling::About { counted_bytes: 7, added_bytes: (1 << 40) + 5 });
        assert_eq!(decode(&[]), Filling::Unknown);
        assert_eq!(decode(&bytes[..40]), Filling::Unknown, "a note that was cut");
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 1;
            assert_eq!(decode(&bad), Filling::Unknown, "byte {at}");
        }
        assert_eq!(decode(&encode(1).repeat(NOTES_MAX)), Filling::Unknown);
    }

    #[test]
    fn a_store_begins_empty_and_a_collection_counts_anew() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store")).unwrap();
        let about = |counted_bytes, added_bytes| Filling::About { counted_bytes, added_bytes };
        store.put_blob(b"twelve bytes").unwrap();
        assert_eq!(store.unnoted_growth_bytes(), 12);
        assert_eq!(store.note_growth().unwrap(), about(0, 12));
        store.counted(100);
        store.put_blob(b"five!").unwrap();
        assert_eq!(store.note_growth().unwrap(), about(100, 5));
        assert_eq!(store.unnoted_growth_bytes(), 0);
        assert_eq!(store.note_growth().unwrap(), about(100, 5), "noted once");
        std::fs::remove_file(store.root().join(FILE)).unwrap();
        store.put_blob(b"lost").unwrap();
        assert_eq!(store.note_growth().unwrap(), Filling::Unknown);
    }
}
