//! Facts about a layer: computed once, kept in one small file next to it.
//!
//! A layer never changes, so a fact never does. It needs no stamp: the fact is about a layer that records
//! point at, and those have stamps. A fact that is lost or damaged is computed again; only those that came
//! with a foreign layer cannot be, and they are written before anybody sees the layer.

use std::collections::BTreeMap;

use image::Digest;

use super::layer_name;
use crate::codec::{Damage, Decoder, Encoder};
use crate::{LayerId, Store, StoreError};

const KIND: [u8; 4] = *b"fact";
const VERSION: u32 = 2;
/// A fact takes some 50 bytes, and a layer has a handful of them.
const FACTS_BYTES_MAX: u64 = 16 << 10;
/// Diff ids for this many different times are kept; each build with another `SOURCE_DATE_EPOCH` adds one.
const FACTS_MAX: usize = 64;

/// Which fact. The text is its name in the file.
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
    fn name(self) -> String {
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

/// What is known of one layer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Facts(BTreeMap<String, Digest>);

impl Facts {
    pub(crate) fn get(&self, fact: Fact) -> Option<Digest> {
        self.0.get(&fact.name()).copied()
    }

    pub(crate) fn with(mut self, fact: Fact, value: Digest) -> Self {
        self.0.insert(fact.name(), value);
        while self.0.len() > FACTS_MAX {
            // Those of foreign layers sort behind the diff ids and stay.
            let first = self.0.range("diff-id.".to_owned()..).next().map(|(name, _)| name.clone());
            self.0.remove(&first.expect("all other names are fewer than the limit"));
        }
        self
    }

    /// All digests of the tar, with the times to which later ones were set.
    pub(crate) fn diff_ids(&self) -> Vec<(Option<i64>, Digest)> {
        let clamp = |name: &str| match name.strip_prefix("diff-id") {
            Some("") => Some(None),
            Some(clamp) => clamp.strip_prefix('.')?.parse().ok().map(Some),
            None => None,
        };
        self.0.iter().filter_map(|(name, value)| Some((clamp(name)?, *value))).collect()
    }

    fn encode(&self, layer: &LayerId) -> Vec<u8> {
        let mut encoder = Encoder::new(KIND, VERSION);
        encoder.raw(&layer.0);
        encoder.count(self.0.len());
        for (name, value) in &self.0 {
            encoder.text(name);
            encoder.raw(&value.0);
        }
        encoder.finish()
    }

    fn decode(bytes: &[u8], layer: &LayerId) -> Result<Self, Damage> {
        let mut decoder = Decoder::new(bytes, KIND, VERSION)?;
        if decoder.raw()? != layer.0 {
            return Err(Damage::Fields);
        }
        let facts = decoder.list(|decoder| Ok((decoder.text()?, Digest(decoder.raw()?))))?;
        decoder.finish()?;
        Ok(Self(facts.into_iter().collect()))
    }
}

impl Store {
    pub(crate) fn facts(&self, layer: &LayerId) -> Result<Facts, StoreError> {
        let name = format!("{}/facts", layer_name(layer));
        let loaded = self.disk().load(&name, FACTS_BYTES_MAX, |bytes| Facts::decode(bytes, layer))?;
        Ok(loaded.unwrap_or_default())
    }

    /// Keeps what is known of a layer. Of two processes that learn something at the same time, one may have to
    /// learn it again.
    pub(crate) fn put_facts(&self, layer: &LayerId, facts: &Facts) -> Result<(), StoreError> {
        self.put_facts_in(&layer_name(layer), layer, facts)
    }

    /// Puts facts into a directory that will be, or is, the layer's.
    pub(super) fn put_facts_in(&self, dir: &str, layer: &LayerId, facts: &Facts) -> Result<(), StoreError> {
        self.publish(&format!("{dir}/facts"), &facts.encode(layer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYER: LayerId = LayerId([0x33; 16]);

    #[test]
    fn facts_v2_never_change() {
        let facts = Facts::default()
            .with(Fact::Content, Digest([0x11; 32]))
            .with(Fact::DiffId { clamp_mtime: Some(-5) }, Digest([0x22; 32]));
        let bytes = facts.encode(&LAYER);
        assert_eq!(const_hex::encode(&bytes), include_str!("../../testdata/facts-v2.hex").trim());
        assert_eq!(Facts::decode(&bytes, &LAYER).unwrap(), facts);
        assert!(Facts::decode(&bytes, &LayerId([0x34; 16])).is_err(), "they are about one layer");
    }

    #[test]
    fn many_diff_ids_push_out_their_like_and_nothing_else() {
        let all = [
            Fact::DiffId { clamp_mtime: None },
            Fact::ForeignDiffId,
            Fact::ForeignBlob,
            Fact::Content,
            Fact::Size,
        ];
        let mut facts = all.iter().fold(Facts::default(), |facts, fact| facts.with(*fact, Digest([1; 32])));
        for clamp in 0..200 {
            facts = facts.with(Fact::DiffId { clamp_mtime: Some(clamp) }, Digest([2; 32]));
        }
        assert_eq!(facts.0.len(), FACTS_MAX);
        assert!(all.iter().all(|fact| facts.get(*fact).is_some()));
        assert!((facts.encode(&LAYER).len() as u64) < FACTS_BYTES_MAX);
    }
}
