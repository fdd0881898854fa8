//! Layers from tars, and layers by their diff ids.

use std::io::{self, Read, Write};
use std::os::fd::AsFd as _;

use image::{BlobDigest, DiffId, Digest, Sha256};

use super::fact::{Fact, Facts};
use super::tar::learned;
use super::{ActiveLayer, Layer};
use crate::codec::{Damage, Decoder, Encoder};
use crate::layer::{self, Limits, decompress};
use crate::stamp::Stamp;
use crate::{LayerId, Store, StoreError};

const KIND: [u8; 4] = *b"diff";
const VERSION: u32 = 1;
/// Block in which a kept tar is copied.
const BLOCK_BYTES: usize = 256 << 10;
/// These records are some 100 bytes long.
const DIFF_ID_RECORD_BYTES_MAX: u64 = 512;

impl Store {
    /// The layer that has this diff id (of its tar with unchanged times), when one is known.
    pub fn layer_by_diff_id(&self, diff_id: &DiffId) -> Result<Option<Layer>, StoreError> {
        match self.named_layer(diff_id)? {
            Some(id) => self.layer(&id),
            None => Ok(None),
        }
    }

    /// The layer that had this diff id when that was noted, whether or not it is there.
    pub(crate) fn named_layer(&self, diff_id: &DiffId) -> Result<Option<LayerId>, StoreError> {
        let found = self
            .load_stamped(&diff_id_name(diff_id), DIFF_ID_RECORD_BYTES_MAX, |bytes| decode(bytes, diff_id))?;
        Ok(found.map(|(_, id)| id))
    }

    /// Names the layer of a diff id. One that is named and there keeps its name: the other is its equal.
    pub(super) fn name_layer(&self, diff_id: &DiffId, id: &LayerId) -> Result<(), StoreError> {
        if self.layer_by_diff_id(diff_id)?.is_some() {
            return Ok(());
        }
        self.publish_stamped(&diff_id_name(diff_id), |stamp| encode(stamp, diff_id, id))
    }

    /// Makes a layer from a tar, plain or compressed in any of the known ways, and tells its diff id.
    ///
    /// With `expected`, the layer belongs to an image whose config names that diff id: the tar is verified,
    /// and the layer keeps this diff id whatever we would write as its tar. Without, the layer is ours from
    /// now on: its diff id is that of the tar which [`Layer::write_tar`] writes.
    ///
    /// When the store has a layer with that diff id already, that one is returned.
    ///
    /// # Errors
    ///
    /// [`StoreError::WrongDiffId`] when it is another tar, [`StoreError::Apply`] when it cannot be unpacked.
    /// Nothing is kept then.
    pub fn unpack_layer(
        &self,
        tar: &mut dyn Read,
        expected: Option<DiffId>,
    ) -> Result<(Layer, DiffId), StoreError> {
        match expected {
            Some(expected) => Ok((self.unpack_foreign(tar, expected, None)?, expected)),
            None => self.unpack_own(tar),
        }
    }

    /// Makes a layer from a blob of the store, which stays the source of the layer's tar: what is written
    /// later has the same bytes. Otherwise like [`Store::unpack_layer`].
    pub fn unpack_blob(&self, blob: &BlobDigest, expected: DiffId) -> Result<Layer, StoreError> {
        self.unpack_blob_while(blob, expected, &mut |_| Ok(()))
    }

    /// The same; `on_read` hears how many bytes of the blob were read so far, and may end the work with an error,
    /// which comes back as [`StoreError::Input`] or as the source of [`StoreError::Apply`].
    pub fn unpack_blob_while(
        &self,
        blob: &BlobDigest,
        expected: DiffId,
        on_read: &mut dyn FnMut(u64) -> io::Result<()>,
    ) -> Result<Layer, StoreError> {
        let file = self.open_blob(blob)?.ok_or(StoreError::NoBlob { digest: *blob })?;
        let mut told = ToldReader { reader: file, read_bytes: 0, on_read };
        self.unpack_foreign(&mut told, expected, Some(blob))
    }

    /// Makes a layer from a blob of the store that another store has written. If its tar is what we write of its files,
    /// the layer is our own from now on, and needs the blob no longer; else it is as from [`Store::unpack_blob`].
    pub fn unpack_made_blob(&self, blob: &BlobDigest, expected: DiffId) -> Result<Layer, StoreError> {
        let mut file = self.open_blob(blob)?.ok_or(StoreError::NoBlob { digest: *blob })?;
        let (active, actual) = self.unpack(&mut file)?;
        if actual != expected {
            return Err(StoreError::WrongDiffId { expected, actual });
        }
        if let Some(known) = self.layer_by_diff_id(&expected)? {
            return Ok(known);
        }
        let summary = layer::summarize(active.open()?.as_fd(), None)?;
        let facts = match summary.diff_id == expected {
            true => learned(Facts::default(), None, &summary),
            false => Facts::default().with(Fact::ForeignDiffId, expected.0).with(Fact::ForeignBlob, blob.0),
        };
        active.put_facts(&facts)?;
        let layer = active.commit()?;
        self.grew(summary.size_bytes);
        self.name_layer(&expected, &layer.id())?;
        Ok(layer)
    }

    /// Whether a blob of the store has the tar of this diff id in it, plain or compressed. Nothing is unpacked.
    ///
    /// # Errors
    ///
    /// [`StoreError::WrongDiffId`] when it is another tar, [`StoreError::Input`] when it cannot be decompressed.
    pub fn verify_blob(&self, blob: &BlobDigest, expected: DiffId) -> Result<(), StoreError> {
        let input = |source| StoreError::Input { source };
        let file = self.open_blob(blob)?.ok_or(StoreError::NoBlob { digest: *blob })?;
        let reader = decompress(file, &Limits::default()).map_err(input)?;
        let mut reader = HashedReader { reader, hash: Sha256::new() };
        io::copy(&mut reader, &mut io::sink()).map_err(input)?;
        match DiffId(reader.hash.finish()) {
            actual if actual == expected => Ok(()),
            actual => Err(StoreError::WrongDiffId { expected, actual }),
        }
    }

    fn unpack_foreign(
        &self,
        tar: &mut dyn Read,
        expected: DiffId,
        blob: Option<&BlobDigest>,
    ) -> Result<Layer, StoreError> {
        let (active, actual) = self.unpack(tar)?;
        if actual != expected {
            return Err(StoreError::WrongDiffId { expected, actual });
        }
        if let Some(known) = self.layer_by_diff_id(&expected)? {
            return Ok(known);
        }
        let mut facts = Facts::default().with(Fact::ForeignDiffId, expected.0);
        if let Some(blob) = blob {
            facts = facts.with(Fact::ForeignBlob, blob.0);
        }
        active.put_facts(&facts)?;
        let layer = active.commit()?;
        self.name_layer(&expected, &layer.id())?;
        Ok(layer)
    }

    fn unpack_own(&self, tar: &mut dyn Read) -> Result<(Layer, DiffId), StoreError> {
        let (active, _) = self.unpack(tar)?;
        let summary = layer::summarize(active.open()?.as_fd(), None)?;
        if let Some(known) = self.layer_by_diff_id(&summary.diff_id)? {
            return Ok((known, summary.diff_id));
        }
        active.put_facts(&learned(Facts::default(), None, &summary))?;
        let layer = active.commit()?;
        self.grew(summary.size_bytes);
        self.name_layer(&summary.diff_id, &layer.id())?;
        Ok((layer, summary.diff_id))
    }

    /// Unpacks into the staging area; with the digest of the uncompressed tar.
    pub(crate) fn unpack(&self, tar: &mut dyn Read) -> Result<(ActiveLayer, DiffId), StoreError> {
        let limits = Limits::default();
        let active = self.begin_layer()?;
        let reader = decompress(tar, &limits).map_err(|source| StoreError::Input { source })?;
        let mut reader = HashedReader { reader, hash: Sha256::new() };
        let applied = layer::apply(&mut reader, active.open()?.as_fd(), &limits)?;
        for note in &applied.notes {
            tracing::warn!(?note, "a part of the layer was left out");
        }
        Ok((active, DiffId(reader.hash.finish())))
    }
}

/// Writes the tar inside a blob.
pub(super) fn copy_tar(blob: impl Read, to: &mut dyn Write) -> Result<(), StoreError> {
    let input = |source| StoreError::Input { source };
    let mut reader = decompress(blob, &Limits::default()).map_err(input)?;
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        let count = match reader.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(input(source)),
        };
        to.write_all(&block[..count]).map_err(|source| layer::WriteError::Output { source })?;
    }
}

/// Tells how much was read.
struct ToldReader<'a, R> {
    reader: R,
    read_bytes: u64,
    on_read: &'a mut dyn FnMut(u64) -> io::Result<()>,
}

impl<R: Read> Read for ToldReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.read_bytes += count as u64;
        (self.on_read)(self.read_bytes)?;
        Ok(count)
    }
}

/// Hashes what passes through.
struct HashedReader<R> {
    reader: R,
    hash: Sha256,
}

impl<R: Read> Read for HashedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.hash.update(&buffer[..count]);
        Ok(count)
    }
}

fn diff_id_name(diff_id: &DiffId) -> String {
    format!("diff-ids/{}", diff_id.0.hex())
}

fn encode(stamp: &Stamp, diff_id: &DiffId, id: &LayerId) -> Vec<u8> {
    let mut encoder = Encoder::new(KIND, VERSION);
    stamp.encode(&mut encoder);
    encoder.raw(&diff_id.0.0);
    encoder.raw(&id.0);
    encoder.finish()
}

fn decode(bytes: &[u8], diff_id: &DiffId) -> Result<(Stamp, LayerId), Damage> {
    let mut decoder = Decoder::new(bytes, KIND, VERSION)?;
    let stamp = Stamp::decode(&mut decoder)?;
    let found = DiffId(Digest(decoder.raw()?));
    let id = LayerId(decoder.raw()?);
    decoder.finish()?;
    if found == *diff_id { Ok((stamp, id)) } else { Err(Damage::Fields) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::BootId;

    #[test]
    fn diff_id_record_v1_never_changes() {
        let stamp = Stamp { boot: BootId([0x66; 16]), session: 7, sequence: 8 };
        let (diff_id, id) = (DiffId(Digest([0x11; 32])), LayerId([0x33; 16]));
        let bytes = encode(&stamp, &diff_id, &id);
        assert_eq!(decode(&bytes, &diff_id), Ok((stamp, id)));
        assert_eq!(const_hex::encode(&bytes), include_str!("../../testdata/diff-id-v1.hex").trim());
    }
}
