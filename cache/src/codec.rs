//! The envelope and the primitives of every small file in the store.
//!
//! ```text
//! kind      4 bytes, ASCII
//! version   u32
//! payload   fields in a fixed order; text and bytes are preceded by their length as u32
//! checksum  u64, XXH3-64 of everything before
//! ```
//!
//! All numbers are little endian. The checksum finds accidents (a torn write, a flipped bit); it is no
//! defence against somebody who can write to the store.

use xxhash_rust::xxh3::xxh3_64;

use crate::stamp::Stamp;

/// Bytes of kind and version.
const HEAD_BYTES: usize = 8;
/// Bytes of the checksum.
const CHECKSUM_BYTES: usize = 8;

/// Why a file is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Damage {
    #[error("it has {0} bytes, too few for its head")]
    Short(usize),
    #[error("its checksum does not match")]
    Checksum,
    #[error("it is a file of another kind")]
    Kind,
    #[error("it has version {0}, which is not known here")]
    Version(u32),
    #[error("its fields do not add up")]
    Fields,
}

/// Checks that a file is as it was written, whatever is in it.
pub(crate) fn check(bytes: &[u8]) -> Result<(), Damage> {
    if bytes.len() < HEAD_BYTES + CHECKSUM_BYTES {
        return Err(Damage::Short(bytes.len()));
    }
    let (content, checksum) = bytes.split_at(bytes.len() - CHECKSUM_BYTES);
    if xxh3_64(content).to_le_bytes() == checksum { Ok(()) } else { Err(Damage::Checksum) }
}

/// The stamp of a file that begins with one.
pub(crate) fn stamp(bytes: &[u8]) -> Option<Stamp> {
    check(bytes).ok()?;
    Stamp::decode(&mut Decoder(&bytes[HEAD_BYTES..bytes.len() - CHECKSUM_BYTES])).ok()
}

/// Builds one file.
pub(crate) struct Encoder(Vec<u8>);

impl Encoder {
    pub(crate) fn new(kind: [u8; 4], version: u32) -> Self {
        let mut bytes = Vec::with_capacity(256);
        bytes.extend_from_slice(&kind);
        bytes.extend_from_slice(&version.to_le_bytes());
        Self(bytes)
    }

    /// Bytes whose length the reader knows.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    pub(crate) fn flag(&mut self, value: bool) {
        self.0.push(u8::from(value));
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.raw(&value.to_le_bytes());
    }

    pub(crate) fn i64(&mut self, value: i64) {
        self.raw(&value.to_le_bytes());
    }

    /// The number of elements that follow.
    pub(crate) fn count(&mut self, count: usize) {
        let count = u32::try_from(count).expect("nothing in the store has 2^32 elements");
        self.raw(&count.to_le_bytes());
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.count(text.len());
        self.raw(text.as_bytes());
    }

    /// A flag, then the value when there is one.
    pub(crate) fn option<T>(&mut self, value: Option<&T>, put: impl FnOnce(&mut Self, &T)) {
        self.flag(value.is_some());
        if let Some(value) = value {
            put(self, value);
        }
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        let checksum = xxh3_64(&self.0);
        self.u64(checksum);
        self.0
    }
}

/// Takes one file apart.
pub(crate) struct Decoder<'a>(&'a [u8]);

impl<'a> Decoder<'a> {
    /// Checks checksum, kind and version, in this order.
    pub(crate) fn new(bytes: &'a [u8], kind: [u8; 4], version: u32) -> Result<Self, Damage> {
        check(bytes)?;
        let mut decoder = Self(&bytes[..bytes.len() - CHECKSUM_BYTES]);
        if decoder.raw::<4>()? != kind {
            return Err(Damage::Kind);
        }
        match u32::from_le_bytes(decoder.raw()?) {
            found if found == version => Ok(decoder),
            found => Err(Damage::Version(found)),
        }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], Damage> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Damage::Fields)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(crate) fn raw<const N: usize>(&mut self) -> Result<[u8; N], Damage> {
        Ok(self.take(N)?.try_into().expect("`take` gave N bytes"))
    }

    pub(crate) fn flag(&mut self) -> Result<bool, Damage> {
        match self.raw::<1>()? {
            [0] => Ok(false),
            [1] => Ok(true),
            _ => Err(Damage::Fields),
        }
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Damage> {
        self.raw().map(u64::from_le_bytes)
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Damage> {
        self.raw().map(i64::from_le_bytes)
    }

    pub(crate) fn text(&mut self) -> Result<String, Damage> {
        let count = u32::from_le_bytes(self.raw()?);
        let bytes = self.take(count as usize)?;
        std::str::from_utf8(bytes).map(str::to_owned).map_err(|_| Damage::Fields)
    }

    /// A count, then that many elements.
    pub(crate) fn list<T>(
        &mut self,
        mut element: impl FnMut(&mut Self) -> Result<T, Damage>,
    ) -> Result<Vec<T>, Damage> {
        let count = u32::from_le_bytes(self.raw()?);
        // No capacity in advance: the count is only believed as far as there are bytes.
        (0..count).map(|_| element(self)).collect()
    }

    pub(crate) fn option<T>(
        &mut self,
        value: impl FnOnce(&mut Self) -> Result<T, Damage>,
    ) -> Result<Option<T>, Damage> {
        if self.flag()? { value(self).map(Some) } else { Ok(None) }
    }

    /// Everything must have been read.
    pub(crate) fn finish(self) -> Result<(), Damage> {
        if self.0.is_empty() { Ok(()) } else { Err(Damage::Fields) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Vec<u8> {
        let mut encoder = Encoder::new(*b"test", 3);
        encoder.text("name");
        encoder.i64(-2);
        encoder.option(Some(&7_u64), |encoder, value| encoder.u64(*value));
        encoder.finish()
    }

    fn read(bytes: &[u8]) -> Result<(String, i64, Option<u64>), Damage> {
        let mut decoder = Decoder::new(bytes, *b"test", 3)?;
        let read = (decoder.text()?, decoder.i64()?, decoder.option(Decoder::u64)?);
        decoder.finish()?;
        Ok(read)
    }

    #[test]
    fn envelope_never_changes() {
        assert_eq!(read(&sample()), Ok(("name".to_owned(), -2, Some(7))));
        insta::assert_snapshot!(
            const_hex::encode(sample()),
            @"7465737403000000040000006e616d65feffffffffffffff010700000000000000185aca4fcab48cf6"
        );
    }

    #[test]
    fn every_changed_or_missing_byte_is_noticed() {
        let good = sample();
        for at in 0..good.len() {
            let mut bad = good.clone();
            bad[at] ^= 0x10;
            assert!(read(&bad).is_err(), "byte {at} changed");
            assert!(read(&good[..at]).is_err(), "cut at {at}");
        }
    }

    #[test]
    fn other_versions_and_kinds_are_named() {
        let head = |kind, version| Encoder::new(kind, version).finish();
        assert_eq!(read(&head(*b"test", 4)), Err(Damage::Version(4)));
        assert_eq!(read(&head(*b"tost", 3)), Err(Damage::Kind));
        assert_eq!(read(&head(*b"test", 3)), Err(Damage::Fields));
    }
}
