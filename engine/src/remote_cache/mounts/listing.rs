//! Which chunks of which packs make the tar of a cache mount.

use std::io::Read as _;

use image::Digest;
use serde::{Deserialize, Serialize};

use super::pack::{CHUNK_BYTES_MAX, CHUNK_BYTES_MIN};
use super::{LISTING_BYTES_MAX, MOUNT_BYTES_MAX};
use crate::remote_cache::CatalogueError;

/// All but the last chunk have the smallest size at least.
const CHUNKS_MAX: usize = (MOUNT_BYTES_MAX as usize).div_ceil(CHUNK_BYTES_MIN) + 1;
/// Fast, and dense enough for digests.
const ZSTD_LEVEL: i32 = 3;

/// The chunks of a tar, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Listing {
    pub(super) chunks: Vec<Chunk>,
}

/// A part of the tar. In the document it is a list of these fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chunk {
    /// The pack, by its place among those of the mount.
    pub(super) pack: u32,
    /// Where it begins in the pack.
    pub(super) offset: u64,
    /// Its size in the pack.
    pub(super) packed_bytes: u32,
    /// Its size in the tar.
    pub(super) plain_bytes: u32,
    /// Of its bytes in the tar.
    pub(super) digest: Digest,
}

type Fields = (u32, u64, u32, u32, Digest);

impl Serialize for Chunk {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { pack, offset, packed_bytes, plain_bytes, digest } = self;
        (pack, offset, packed_bytes, plain_bytes, digest).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Chunk {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (pack, offset, packed_bytes, plain_bytes, digest) = Fields::deserialize(deserializer)?;
        Ok(Self { pack, offset, packed_bytes, plain_bytes, digest })
    }
}

impl Listing {
    /// The document.
    pub fn encode(&self) -> Vec<u8> {
        let json = serde_json::to_vec(self).expect("numbers and digests are JSON");
        zstd::bulk::compress(&json, ZSTD_LEVEL).expect("memory takes what is written")
    }

    /// Reads the listing of a mount with so many packs.
    pub fn decode(bytes: &[u8], packs: usize) -> Result<Self, CatalogueError> {
        let unreadable = |source| CatalogueError::Json { source: serde_json::Error::io(source) };
        let mut json = Vec::new();
        let decoder = zstd::Decoder::with_buffer(bytes).map_err(unreadable)?;
        decoder.take(LISTING_BYTES_MAX).read_to_end(&mut json).map_err(unreadable)?;
        let listing: Self =
            serde_json::from_slice(&json).map_err(|source| CatalogueError::Json { source })?;
        listing.check(packs)?;
        Ok(listing)
    }

    fn check(&self, packs: usize) -> Result<(), CatalogueError> {
        if self.chunks.len() > CHUNKS_MAX {
            return Err(CatalogueError::TooMany { what: "chunks", max: CHUNKS_MAX });
        }
        let is_wrong = |chunk: &Chunk| {
            chunk.pack as usize >= packs
                || chunk.plain_bytes as usize > CHUNK_BYTES_MAX
                || chunk.packed_bytes as usize > zstd::zstd_safe::compress_bound(CHUNK_BYTES_MAX)
        };
        if let Some(at) = self.chunks.iter().position(is_wrong) {
            let problem = "it is in no pack, or too large";
            return Err(CatalogueError::Entry { what: "chunk", at, problem });
        }
        match usize::try_from(MOUNT_BYTES_MAX) {
            // The same chunk may come again and again, so that small packs are not the limit.
            Ok(max) if self.plain_bytes() > MOUNT_BYTES_MAX => {
                Err(CatalogueError::TooMany { what: "bytes", max })
            }
            _ => Ok(()),
        }
    }

    /// Bytes of the tar.
    pub(in crate::remote_cache) fn plain_bytes(&self) -> u64 {
        self.chunks.iter().map(|chunk| u64::from(chunk.plain_bytes)).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listings_round_trip_and_are_checked() {
        let chunk = |pack, plain_bytes| Chunk {
            pack,
            offset: 7,
            packed_bytes: 5,
            plain_bytes,
            digest: Digest([3; 32]),
        };
        let listing = Listing { chunks: vec![chunk(0, 9), chunk(1, 10)] };
        assert_eq!(Listing::decode(&listing.encode(), 2).unwrap(), listing);
        assert_eq!(listing.plain_bytes(), 19);
        assert!(Listing::decode(&listing.encode(), 1).is_err(), "there is no second pack");
        let large = Listing { chunks: vec![chunk(0, 1 << 30)] };
        assert!(Listing::decode(&large.encode(), 1).is_err());
        let chunks = MOUNT_BYTES_MAX as usize / CHUNK_BYTES_MAX;
        let again = |count| Listing { chunks: vec![chunk(0, CHUNK_BYTES_MAX as u32); count] }.encode();
        assert!(Listing::decode(&again(chunks), 1).is_ok());
        assert!(Listing::decode(&again(chunks + 1), 1).is_err(), "more than a mount may have");
        assert!(Listing::decode(b"no zstd", 1).is_err());
    }
}
