//! Puts the tar of a cache mount together again.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;

use image::Digest;

use super::listing::{Chunk, Listing};
use super::pack::CHUNK_BYTES_MAX;

/// Reads the tar, chunk after chunk, each verified.
pub(super) struct Restore {
    listing: Listing,
    /// In the order of the mount's packs.
    packs: Vec<File>,
    decompressor: zstd::bulk::Decompressor<'static>,
    next: usize,
    plain: Vec<u8>,
    /// What of `plain` was read.
    read_bytes: usize,
}

impl Restore {
    pub(super) fn new(listing: Listing, packs: Vec<File>) -> io::Result<Self> {
        let decompressor = zstd::bulk::Decompressor::new()?;
        Ok(Self { listing, packs, decompressor, next: 0, plain: Vec::new(), read_bytes: 0 })
    }

    /// The next chunk; false at the end.
    fn advance(&mut self) -> io::Result<bool> {
        let Some(chunk) = self.listing.chunks.get(self.next) else { return Ok(false) };
        let Chunk { pack, offset, packed_bytes, plain_bytes, digest } = chunk;
        let mut packed = vec![0; *packed_bytes as usize];
        self.packs[*pack as usize].read_exact_at(&mut packed, *offset)?;
        self.plain = self.decompressor.decompress(&packed, CHUNK_BYTES_MAX)?;
        if self.plain.len() != *plain_bytes as usize || Digest::of(&self.plain) != *digest {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("chunk {} is another one", self.next),
            ));
        }
        self.next += 1;
        self.read_bytes = 0;
        Ok(true)
    }
}

impl Read for Restore {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.read_bytes == self.plain.len() {
            if !self.advance()? {
                return Ok(0);
            }
        }
        let count = buffer.len().min(self.plain.len() - self.read_bytes);
        buffer[..count].copy_from_slice(&self.plain[self.read_bytes..][..count]);
        self.read_bytes += count;
        Ok(count)
    }
}
