//! Stands in for the crate `crc-fast` under `object_store`, which computes one checksum with it. The crate has the tables of all
//! checksums that there are in a match, so that all are linked: 680 KB of a binary that has to stay below 20 MB.

use crc::{CRC_64_NVME, Crc, Table};

static NVME: Crc<u64, Table<1>> = Crc::<u64, Table<1>>::new(&CRC_64_NVME);

/// Which checksum, in the words of `crc-fast`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrcAlgorithm {
    /// CRC-64/NVME: the checksum that object stores understand as `x-amz-checksum-crc64nvme`.
    Crc64Nvme,
}

/// A checksum in the making.
pub struct Digest(crc::Digest<'static, u64, Table<1>>);

impl Digest {
    /// The checksum of nothing so far.
    pub fn new(algorithm: CrcAlgorithm) -> Self {
        match algorithm {
            CrcAlgorithm::Crc64Nvme => Self(NVME.digest()),
        }
    }

    /// More bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes.
    pub fn finalize(self) -> u64 {
        self.0.finalize()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalogue_agrees() {
        let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
        digest.update(b"12345");
        digest.update(b"6789");
        assert_eq!(digest.finalize(), 0xae8b_1486_0a79_9888);
    }
}
