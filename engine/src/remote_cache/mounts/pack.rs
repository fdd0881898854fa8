//! Cuts a tar into chunks, and puts those that are new into packs.

use std::collections::HashMap;
use std::io::Read;

use fastcdc::v2020::StreamCDC;
use image::{BlobDigest, Descriptor, DiffId, Digest, MediaType, Sha256};

use super::listing::{Chunk, Listing};
use super::{MOUNT_BYTES_MAX, PACK_BYTES_MAX, PACK_TYPE};
use crate::remote_cache::RemoteCacheError;
use crate::remote_cache::passing::Passing;

/// Chunks are small enough that a changed file of a package cache brings little beside itself, and large enough that a
/// listing of 300 MB has less than half a megabyte.
pub(super) const CHUNK_BYTES_MIN: usize = 8 << 10;
const CHUNK_BYTES_MEAN: usize = 32 << 10;
pub(super) const CHUNK_BYTES_MAX: usize = 128 << 10;
/// As for layers.
const ZSTD_LEVEL: i32 = 3;

/// A tar that was cut.
pub(super) struct Packed {
    /// The digest of the tar.
    pub(super) content: DiffId,
    pub(super) listing: Listing,
    /// All packs that the listing names.
    pub(super) packs: Vec<Descriptor>,
    /// How many bytes of packs that were there are still of use.
    pub(super) kept_bytes: u64,
}

/// The chunks that a remote cache has.
#[derive(Default)]
pub(super) struct Known {
    chunks: HashMap<Digest, Chunk>,
    packs: Vec<Descriptor>,
}

impl Known {
    pub(super) fn new(listing: Listing, packs: Vec<Descriptor>) -> Self {
        let chunks = listing.chunks.into_iter().map(|chunk| (chunk.digest, chunk)).collect();
        Self { chunks, packs }
    }

    /// Bytes of all packs.
    pub(super) fn packs_bytes(&self) -> u64 {
        self.packs.iter().map(|pack| pack.size_bytes).sum()
    }
}

/// The packs that grow.
struct Packs<'a> {
    passing: &'a Passing,
    compressor: zstd::bulk::Compressor<'static>,
    open: Vec<u8>,
    /// Its place among all.
    open_place: usize,
    packs: Vec<Descriptor>,
    /// The places of packs that were there.
    places: HashMap<BlobDigest, u32>,
}

/// Cuts `tar`, and puts its new packs into the store.
pub(super) fn pack(passing: &Passing, tar: impl Read, known: &Known) -> Result<Packed, RemoteCacheError> {
    let failed = |source| cache::StoreError::Input { source };
    let compressor = zstd::bulk::Compressor::new(ZSTD_LEVEL).map_err(failed)?;
    let mut packs = Packs {
        passing,
        compressor,
        open: Vec::new(),
        open_place: 0,
        packs: Vec::new(),
        places: HashMap::new(),
    };
    let (mut hash, mut listing) = (Sha256::new(), Listing::default());
    let mut seen: HashMap<Digest, Chunk> = HashMap::new();
    let (mut size_bytes, mut kept_bytes) = (0, 0);
    for piece in StreamCDC::new(tar, CHUNK_BYTES_MIN, CHUNK_BYTES_MEAN, CHUNK_BYTES_MAX) {
        let piece = piece.map_err(|error| failed(error.into()))?.data;
        size_bytes += piece.len() as u64;
        if size_bytes > MOUNT_BYTES_MAX {
            return Err(RemoteCacheError::MountTooLarge { size_bytes, size_bytes_max: MOUNT_BYTES_MAX });
        }
        hash.update(&piece);
        let digest = Digest::of(&piece);
        let chunk = match (seen.get(&digest), known.chunks.get(&digest)) {
            (Some(seen), _) => seen.clone(),
            (None, Some(old)) => {
                kept_bytes += u64::from(old.packed_bytes);
                let pack = packs.place(&known.packs[old.pack as usize]);
                Chunk { pack, ..old.clone() }
            }
            (None, None) => packs.add(&piece, digest)?,
        };
        seen.insert(digest, chunk.clone());
        listing.chunks.push(chunk);
    }
    packs.close()?;
    Ok(Packed { content: DiffId(hash.finish()), listing, packs: packs.packs, kept_bytes })
}

impl Packs<'_> {
    /// The place of a pack that was there.
    fn place(&mut self, pack: &Descriptor) -> u32 {
        let next = u32::try_from(self.packs.len()).expect("packs are fewer than chunks");
        let place = *self.places.entry(pack.digest).or_insert(next);
        if place == next {
            self.packs.push(pack.clone());
        }
        place
    }

    /// Adds a chunk to the open pack.
    fn add(&mut self, piece: &[u8], digest: Digest) -> Result<Chunk, RemoteCacheError> {
        let packed = self.compressor.compress(piece).map_err(|source| cache::StoreError::Input { source })?;
        if self.open.len() + packed.len() > PACK_BYTES_MAX {
            self.close()?;
        }
        if self.open.is_empty() {
            // Its digest is known when it is closed.
            self.open_place = self.packs.len();
            self.packs.push(Descriptor::new(MediaType::Layer, BlobDigest(digest), 0));
        }
        let chunk = Chunk {
            pack: u32::try_from(self.open_place).expect("packs are fewer than chunks"),
            offset: self.open.len() as u64,
            packed_bytes: u32::try_from(packed.len()).expect("a chunk is small"),
            plain_bytes: u32::try_from(piece.len()).expect("a chunk is small"),
            digest,
        };
        self.open.extend(packed);
        Ok(chunk)
    }

    /// Keeps the open pack as a blob of the store.
    fn close(&mut self) -> Result<(), RemoteCacheError> {
        if self.open.is_empty() {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.open);
        let digest = self.passing.put(&bytes)?;
        let mut descriptor = Descriptor::new(MediaType::Layer, digest, bytes.len() as u64);
        PACK_TYPE.clone_into(&mut descriptor.media_type);
        self.packs[self.open_place] = descriptor;
        Ok(())
    }
}
