//! Files that say up to which sequence number a session is durable.
//!
//! ```text
//! ROOT/durable/<session>   marker of one session, in the common envelope
//! ROOT/durable/folded      markers of sessions that have ended, 24 bytes each: session u64, sequence u64,
//!                          XXH3-64 of those 16 bytes
//! ```
//!
//! Each entry of the folded file has its own checksum, so that one damaged byte costs one session.

use std::collections::HashMap;

use xxhash_rust::xxh3::xxh3_64;

use crate::codec::{Damage, Decoder, Encoder};
use crate::disk::Disk;
use crate::{Store, StoreError};

/// Marker files are 32 bytes long.
const MARKER_BYTES_MAX: u64 = 256;
const KIND: [u8; 4] = *b"dura";
const VERSION: u32 = 1;
/// Markers are folded when there are this many: one file each is a block each.
const MARKERS_MAX: usize = 64;
const FOLDED: &str = "durable/folded";
const FOLDED_ENTRY_BYTES: usize = 24;
/// Some ten million sessions.
const FOLDED_BYTES_MAX: u64 = 256 << 20;

pub(crate) fn name(session: u64) -> String {
    format!("durable/{session:016x}")
}

pub(crate) fn encode(session: u64, sequence: u64) -> Vec<u8> {
    let mut encoder = Encoder::new(KIND, VERSION);
    encoder.u64(session);
    encoder.u64(sequence);
    encoder.finish()
}

fn decode(bytes: &[u8], session: u64) -> Result<u64, Damage> {
    let mut decoder = Decoder::new(bytes, KIND, VERSION)?;
    if decoder.u64()? != session {
        return Err(Damage::Fields);
    }
    let sequence = decoder.u64()?;
    decoder.finish()?;
    Ok(sequence)
}

/// What the marker of a session says, when it has one of its own.
pub(crate) fn read(disk: &Disk, session: u64) -> Result<Option<u64>, StoreError> {
    disk.load(&name(session), MARKER_BYTES_MAX, |bytes| decode(bytes, session))
}

/// What the folded markers say, by session.
pub(crate) fn read_folded(disk: &Disk) -> Result<HashMap<u64, u64>, StoreError> {
    let bytes = disk.read(FOLDED, FOLDED_BYTES_MAX)?.unwrap_or_default();
    Ok(decode_folded(&bytes))
}

/// Checks that every entry is whole. A damaged one costs one session, and is found here only.
pub(crate) fn check_folded(bytes: &[u8]) -> Result<(), Damage> {
    let is_whole = decode_folded(bytes).len() * FOLDED_ENTRY_BYTES == bytes.len();
    if is_whole { Ok(()) } else { Err(Damage::Checksum) }
}

fn encode_folded(markers: &HashMap<u64, u64>) -> Vec<u8> {
    let mut markers: Vec<_> = markers.iter().collect();
    markers.sort_unstable();
    let mut bytes = Vec::with_capacity(markers.len() * FOLDED_ENTRY_BYTES);
    for (session, sequence) in markers {
        let start = bytes.len();
        bytes.extend_from_slice(&session.to_le_bytes());
        bytes.extend_from_slice(&sequence.to_le_bytes());
        let checksum = xxh3_64(&bytes[start..]);
        bytes.extend_from_slice(&checksum.to_le_bytes());
    }
    bytes
}

fn decode_folded(bytes: &[u8]) -> HashMap<u64, u64> {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("the slice has eight bytes"));
    let (entries, _) = bytes.as_chunks::<FOLDED_ENTRY_BYTES>();
    entries
        .iter()
        .filter(|entry| xxh3_64(&entry[..16]) == number(&entry[16..]))
        .map(|entry| (number(&entry[..8]), number(&entry[8..16])))
        .collect()
}

impl Store {
    /// Moves the markers of sessions that have ended into one file, when there are many.
    ///
    /// A session that has a marker has a staging directory until it ends, and writes no marker afterwards.
    pub(crate) fn fold_markers(&self) -> Result<(), StoreError> {
        let sessions: Vec<u64> = self
            .disk()
            .names("durable")?
            .iter()
            .filter(|name| name.len() == 16)
            .filter_map(|name| u64::from_str_radix(name, 16).ok())
            .collect();
        if sessions.len() < MARKERS_MAX {
            return Ok(());
        }
        let _lock = self.lock_name("markers")?;
        let mut folded = read_folded(self.disk())?;
        let mut moved = Vec::new();
        for session in sessions {
            if self.disk().exists(&crate::session::dir_name(session))? {
                continue;
            }
            folded.extend(read(self.disk(), session)?.map(|sequence| (session, sequence)));
            moved.push(name(session));
        }
        // Readers look for a session's own marker first: it goes only when the other is safe.
        self.publish_synced(FOLDED, &encode_folded(&folded))?;
        self.disk().sync_dir("durable")?;
        for name in moved {
            self.disk().remove(&name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marker_v1_never_changes() {
        let bytes = encode(0x0102_0304_0506_0708, 9);
        assert_eq!(decode(&bytes, 0x0102_0304_0506_0708), Ok(9));
        assert_eq!(decode(&bytes, 1), Err(Damage::Fields), "a marker copied under another name");
        insta::assert_snapshot!(
            const_hex::encode(bytes),
            @"64757261010000000807060504030201090000000000000086a012763f69e78f"
        );
    }

    #[test]
    fn folded_markers_never_change_and_fail_one_by_one() {
        let markers = HashMap::from([(1, 2), (3, 4), (5, 6)]);
        let bytes = encode_folded(&markers);
        assert_eq!(decode_folded(&bytes), markers);
        insta::assert_snapshot!(const_hex::encode(&bytes), @"01000000000000000200000000000000ef6b4481c286ee0703000000000000000400000000000000c678087494d98b8e05000000000000000600000000000000b3c2c3746b744741");
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] ^= 4;
            let found = decode_folded(&bad);
            assert_eq!(found.len(), 2, "byte {at}");
            assert!(found.iter().all(|(session, sequence)| markers.get(session) == Some(sequence)));
            assert_eq!(decode_folded(&bytes[..at]).len(), at / FOLDED_ENTRY_BYTES);
        }
    }
}
