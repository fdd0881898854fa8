//! Layers as tars: diff ids, sizes and content digests, each computed once.

use std::io::{self, Write};
use std::os::fd::AsFd as _;

use image::{BlobDigest, DiffId, Digest, Sha256};

use super::fact::{Fact, Facts};
use super::packed::OpenFiles;
use super::{Layer, unpack};
use crate::layer::Summary;
use crate::{LayerId, Store, StoreError, layer};

impl Layer {
    /// The digest of the layer's tar as [`Layer::write_tar`] writes it. Computed once and kept, together
    /// with whatever else one pass over the files tells.
    pub fn diff_id(&self, clamp_mtime: Option<i64>) -> Result<DiffId, StoreError> {
        let facts = self.facts()?;
        let fact = Fact::DiffId { clamp_mtime };
        if let Some(known) = facts.get(Fact::ForeignDiffId).or_else(|| facts.get(fact)) {
            return Ok(DiffId(known));
        }
        if facts.get(Fact::Content).is_none() {
            let summary = layer::summarize(&self.files()?, clamp_mtime)?;
            self.learn(facts, clamp_mtime, &summary)?;
            return Ok(summary.diff_id);
        }
        let mut hash = Sha256::new();
        layer::write_tar(&self.files()?, &mut hash, clamp_mtime)?;
        let diff_id = DiffId(hash.finish());
        self.store.put_facts(&self.id, &facts.with(fact, diff_id.0))?;
        if clamp_mtime.is_none() {
            self.store.name_layer(&diff_id, &self.id)?;
        }
        Ok(diff_id)
    }

    /// [`Layer::diff_id`] and [`Layer::size_bytes`], with one look where both are known.
    pub fn diff_id_and_size(&self, clamp_mtime: Option<i64>) -> Result<(DiffId, u64), StoreError> {
        let facts = self.facts()?;
        let diff_id = facts.get(Fact::ForeignDiffId).or_else(|| facts.get(Fact::DiffId { clamp_mtime }));
        match (diff_id, facts.get(Fact::Size)) {
            (Some(diff_id), Some(size)) => Ok((DiffId(diff_id), to_size(&size))),
            _ => Ok((self.diff_id(clamp_mtime)?, self.size_bytes()?)),
        }
    }

    /// Whether all digests and the size are known, so that asking for them is quick.
    pub fn is_summarized(&self, clamp_mtime: Option<i64>) -> Result<bool, StoreError> {
        let facts = self.facts()?;
        let wanted = [Fact::Content, Fact::Size, Fact::DiffId { clamp_mtime }];
        Ok(wanted.iter().all(|fact| facts.get(*fact).is_some()))
    }

    fn facts(&self) -> Result<Facts, StoreError> {
        self.store.facts(&self.id)
    }

    fn learn(&self, facts: Facts, clamp_mtime: Option<i64>, summary: &Summary) -> Result<(), StoreError> {
        if facts.get(Fact::Size).is_none() {
            self.store.grew(summary.size_bytes);
        }
        self.store.put_facts(&self.id, &learned(facts, clamp_mtime, summary))?;
        match clamp_mtime {
            None => self.store.name_layer(&summary.diff_id, &self.id),
            Some(_) => Ok(()),
        }
    }

    /// Hears of every entry of the layer, in the order of its tar.
    pub fn contents(&self, take: &mut dyn FnMut(layer::LayerEntry)) -> Result<(), StoreError> {
        Ok(layer::contents(&self.files()?, take)?)
    }

    /// Writes the layer as a tar: the same layer gives the same bytes. Modification times later than
    /// `clamp_mtime` (seconds since 1970) become that time.
    ///
    /// A layer that came from elsewhere with its diff id (see [`Store::unpack_layer`]) keeps its bytes,
    /// whatever `clamp_mtime` is.
    ///
    /// # Errors
    ///
    /// [`StoreError::WrongDiffId`] at the end, when the layer came from elsewhere and its bytes cannot be
    /// made again because its blob is gone.
    pub fn write_tar(&self, to: &mut dyn Write, clamp_mtime: Option<i64>) -> Result<(), StoreError> {
        self.store.narrow_leases()?;
        let facts = self.facts()?;
        let Some(expected) = facts.get(Fact::ForeignDiffId) else {
            return Ok(layer::write_tar(&self.files()?, to, clamp_mtime)?);
        };
        let mut hashed = HashedWriter { to, hash: Sha256::new() };
        let blob = facts.get(Fact::ForeignBlob).map(BlobDigest);
        match blob.map(|blob| self.store.open_blob(&blob)).transpose()?.flatten() {
            Some(file) => unpack::copy_tar(file, &mut hashed)?,
            None => layer::write_tar(&self.files()?, &mut hashed, None)?,
        }
        let (expected, actual) = (DiffId(expected), DiffId(hashed.hash.finish()));
        if expected == actual { Ok(()) } else { Err(StoreError::WrongDiffId { expected, actual }) }
    }

    /// A digest of the content that ignores timestamps: two layers with the same digest do the same to
    /// whatever is built upon them. Computed once and kept.
    pub fn content_digest(&self) -> Result<Digest, StoreError> {
        let facts = self.facts()?;
        if let Some(known) = facts.get(Fact::Content) {
            return Ok(known);
        }
        let files = self.files()?;
        // Its digest as a tar will be asked for as well, and costs little as long as the files are few.
        if let OpenFiles::Directory(directory) = &files
            && let Some(summary) = layer::summarize_small(directory.as_fd(), None)?
        {
            self.learn(facts, None, &summary)?;
            return Ok(summary.content);
        }
        let content = layer::content_digest(&files)?;
        self.store.put_facts(&self.id, &facts.with(Fact::Content, content))?;
        Ok(content)
    }

    /// Sum of the sizes of the layer's files in bytes, hard links counted once: what Docker calls the size
    /// of a layer. Computed once and kept.
    pub fn size_bytes(&self) -> Result<u64, StoreError> {
        let facts = self.facts()?;
        if let Some(known) = facts.get(Fact::Size) {
            return Ok(to_size(&known));
        }
        let size_bytes = layer::size_bytes(&self.files()?)?;
        self.store.put_facts(&self.id, &facts.with(Fact::Size, from_size(size_bytes)))?;
        self.store.grew(size_bytes);
        Ok(size_bytes)
    }
}

impl Store {
    /// What a collector has to know of a layer, whether or not it will stay: the size of its files, where that
    /// was computed before, and the blob that it was unpacked from.
    pub(crate) fn known_of_layer(&self, id: &LayerId) -> Result<(Option<u64>, Option<Digest>), StoreError> {
        let facts = self.facts(id)?;
        Ok((facts.get(Fact::Size).map(|value| to_size(&value)), facts.get(Fact::ForeignBlob)))
    }
}

/// What one pass over a layer tells, beside what was known before.
pub(super) fn learned(facts: Facts, clamp_mtime: Option<i64>, summary: &Summary) -> Facts {
    facts
        .with(Fact::DiffId { clamp_mtime }, summary.diff_id.0)
        .with(Fact::Content, summary.content)
        .with(Fact::Size, from_size(summary.size_bytes))
}

/// A size in the place of a digest, so that all facts have one form.
fn from_size(size_bytes: u64) -> Digest {
    let mut value = [0; 32];
    value[..8].copy_from_slice(&size_bytes.to_le_bytes());
    Digest(value)
}

fn to_size(value: &Digest) -> u64 {
    u64::from_le_bytes(value.0[..8].try_into().expect("the slice has eight bytes"))
}

/// Hashes what passes through.
struct HashedWriter<'a> {
    to: &'a mut dyn Write,
    hash: Sha256,
}

impl Write for HashedWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.to.write(bytes)?;
        self.hash.update(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
