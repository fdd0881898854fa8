//! Facts about a layer: computed once, kept in small files next to it.
//!
//! A layer never changes, so a fact never does. It needs no stamp: the fact is about a layer that records
//! point at, and those have stamps. A fact that is lost or damaged is computed again.

use image::Digest;

use super::layer_name;
use crate::codec::{Damage, Decoder, Encoder};
use crate::{LayerId, Store, StoreError};

const KIND: [u8; 4] = *b"fact";
const VERSION: u32 = 1;
/// Facts are some 70 bytes long.
const FACT_BYTES_MAX: u64 = 256;

/// Which fact. The text is its file name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fact {
    /// Digest of the tar, with modification times later than this set to it.
    DiffId { clamp_mtime: Option<i64> },
    /// The diff id that the layer came with, when it was unpacked from a tar that is not ours.
    ForeignDiffId,
    /// The blob that the layer was unpacked from, kept because the layer's tar cannot be made again.
    ForeignBlob,
    /// Digest of the content without timestamps.
    Content,
    /// Sum of the sizes of the files, in the first eight bytes.
    Size,
}

impl Fact {
    fn file(self) -> String {
        match self {
            Self::DiffId { clamp_mtime: None } => "diff-id".to_owned(),
            Self::DiffId { clamp_mtime: Some(clamp) } => format!("diff-id.{clamp}"),
            Self::ForeignDiffId => "foreign-diff-id".to_owned(),
            Self::ForeignBlob => "foreign-blob".to_owned(),
            Self::Content => "content".to_owned(),
            Self::Size => "size".to_owned(),
        }
    }
}

impl Store {
    pub(crate) fn fact(&self, layer: &LayerId, fact: Fact) -> Result<Option<Digest>, StoreError> {
        let file = fact.file();
        self.disk().load(&format!("{}/{file}", layer_name(layer)), FACT_BYTES_MAX, |bytes| {
            let mut decoder = Decoder::new(bytes, KIND, VERSION)?;
            let is_same = decoder.raw()? == layer.0 && decoder.text()? == file;
            let value = Digest(decoder.raw()?);
            decoder.finish()?;
            if is_same { Ok(value) } else { Err(Damage::Fields) }
        })
    }

    pub(crate) fn put_fact(&self, layer: &LayerId, fact: Fact, value: &Digest) -> Result<(), StoreError> {
        self.put_fact_in(&layer_name(layer), layer, fact, value)
    }

    /// Puts a fact into a directory that will be, or is, the layer's.
    pub(super) fn put_fact_in(
        &self,
        dir: &str,
        layer: &LayerId,
        fact: Fact,
        value: &Digest,
    ) -> Result<(), StoreError> {
        let file = fact.file();
        self.publish(&format!("{dir}/{file}"), &encode(layer, &file, value))
    }
}

fn encode(layer: &LayerId, file: &str, value: &Digest) -> Vec<u8> {
    let mut encoder = Encoder::new(KIND, VERSION);
    encoder.raw(&layer.0);
    encoder.text(file);
    encoder.raw(&value.0);
    encoder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fact_v1_never_changes() {
        let bytes = encode(&LayerId([0x33; 16]), &Fact::Content.file(), &Digest([0x11; 32]));
        assert_eq!(const_hex::encode(&bytes), include_str!("../../testdata/fact-v1.hex").trim());
        assert_eq!(Fact::DiffId { clamp_mtime: Some(-5) }.file(), "diff-id.-5");
    }
}
