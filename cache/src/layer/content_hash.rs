//! Digests of content that never leave the store.

use std::io::{self, Write};

use image::Digest;

/// A digest over a stream of bytes that is only compared with others of its kind. BLAKE3 does the work,
/// which costs a tenth of SHA-256 where the processor has no instructions for that; what comes out is the
/// SHA-256 of the domain and the result, so that it is a [`Digest`] like any other.
pub(crate) struct ContentHash {
    domain: &'static str,
    hash: blake3::Hasher,
}

impl ContentHash {
    /// Starts a digest for one meaning; a change of meaning changes the domain.
    pub(crate) fn new(domain: &'static str) -> Self {
        Self { domain, hash: blake3::Hasher::new() }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        self.hash.update(bytes);
    }

    pub(crate) fn finish(&self) -> Digest {
        image::Hasher::new(self.domain).field("blake3", self.hash.finalize().as_bytes()).finish()
    }
}

impl Write for ContentHash {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
