//! Key records: what a step produced, found by the digest of its inputs.

use image::Digest;

use crate::codec::{Damage, Decoder, Encoder};
use crate::stamp::Stamp;
use crate::{Key, LayerId, Store, StoreError};

const KIND: [u8; 4] = *b"rcrd";
const VERSION: u32 = 1;
/// A record lists a chain of layers and the inputs of a step, of which the largest is a command.
const RECORD_BYTES_MAX: u64 = 16 << 20;

/// What a step with this key produced.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The key under which it is found.
    pub key: Key,
    /// The key that dependents see instead, when the step's content turned out to be that of another step.
    pub offered: Option<Key>,
    /// All layers of the result, lowest first.
    pub layers: Vec<LayerId>,
    /// Digest of the content that the step made, without timestamps.
    pub content: Option<Digest>,
    /// When the step ended, in nanoseconds since 1970.
    pub created_unix_ns: i64,
    /// The step as people know it, for lists and explanations.
    pub description: String,
    /// The inputs of the key by name, to explain why two keys differ.
    pub ingredients: Vec<(String, String)>,
}

impl Record {
    fn encode(&self, stamp: &Stamp) -> Vec<u8> {
        let Self { key, offered, layers, content, created_unix_ns, description, ingredients } = self;
        let mut encoder = Encoder::new(KIND, VERSION);
        stamp.encode(&mut encoder);
        encoder.raw(&key.0.0);
        encoder.option(offered.as_ref(), |encoder, key| encoder.raw(&key.0.0));
        encoder.count(layers.len());
        layers.iter().for_each(|layer| encoder.raw(&layer.0));
        encoder.option(content.as_ref(), |encoder, content| encoder.raw(&content.0));
        encoder.i64(*created_unix_ns);
        encoder.text(description);
        encoder.count(ingredients.len());
        for (name, value) in ingredients {
            encoder.text(name);
            encoder.text(value);
        }
        encoder.finish()
    }

    fn decode(bytes: &[u8]) -> Result<(Stamp, Self), Damage> {
        let mut decoder = Decoder::new(bytes, KIND, VERSION)?;
        let stamp = Stamp::decode(&mut decoder)?;
        let record = Self {
            key: Key(Digest(decoder.raw()?)),
            offered: decoder.option(|decoder| Ok(Key(Digest(decoder.raw()?))))?,
            layers: decoder.list(|decoder| Ok(LayerId(decoder.raw()?)))?,
            content: decoder.option(|decoder| Ok(Digest(decoder.raw()?)))?,
            created_unix_ns: decoder.i64()?,
            description: decoder.text()?,
            ingredients: decoder.list(|decoder| Ok((decoder.text()?, decoder.text()?)))?,
        };
        decoder.finish()?;
        Ok((stamp, record))
    }
}

impl Store {
    /// The record of a key. `None` when there is none, it is damaged, it was not durable when the machine
    /// went down, or one of its layers is gone: the step runs again.
    pub fn record(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let Some(record) = self.load_record(key)? else { return Ok(None) };
        if !self.have_layers(&record.layers)? {
            return Ok(None);
        }
        self.inner.hits.add(*key);
        Ok(Some(record))
    }

    /// The record of a key, whether or not its layers are there.
    pub(crate) fn load_record(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        let found = self.load_stamped(&record_name(key), RECORD_BYTES_MAX, |bytes| {
            let (stamp, record) = Record::decode(bytes)?;
            // A file that was copied or renamed to the name of another key.
            if record.key == *key { Ok((stamp, record)) } else { Err(Damage::Fields) }
        })?;
        Ok(found.map(|(_, record)| record))
    }

    /// Keeps a record, in place of an earlier one of the same key. Does not sync.
    ///
    /// # Errors
    ///
    /// [`StoreError::NoLayer`] when it points at a layer that is not in the store.
    pub fn put_record(&self, record: &Record) -> Result<(), StoreError> {
        self.require_layers(&record.layers)?;
        self.publish_stamped(&record_name(&record.key), |stamp| record.encode(stamp))
    }

    /// Forgets a record; whether it was there.
    pub fn remove_record(&self, key: &Key) -> Result<bool, StoreError> {
        let _publishing = self.inner.durability.publish();
        self.disk().remove(&record_name(key))
    }
}

/// 256 directories, so that none gets too long.
pub(crate) fn record_name(key: &Key) -> String {
    let hex = key.0.hex();
    format!("records/{}/{hex}", &hex[..2])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stamp::BootId;

    #[test]
    fn record_v1_never_changes() {
        let record = Record {
            key: Key(Digest([0x11; 32])),
            offered: Some(Key(Digest([0x22; 32]))),
            layers: vec![LayerId([0x33; 16]), LayerId([0x44; 16])],
            content: Some(Digest([0x55; 32])),
            created_unix_ns: 1_700_000_000_123_456_789,
            description: "RUN true".to_owned(),
            ingredients: vec![("argv".to_owned(), "true".to_owned())],
        };
        let stamp = Stamp { boot: BootId([0x66; 16]), session: 7, sequence: 8 };
        let bytes = record.encode(&stamp);
        assert_eq!(Record::decode(&bytes), Ok((stamp, record)));
        assert_eq!(const_hex::encode(&bytes), include_str!("../testdata/record-v1.hex").trim());
    }

    fn any_record() -> impl proptest::strategy::Strategy<Value = Record> {
        use proptest::prelude::*;
        let digest = || any::<[u8; 32]>().prop_map(Digest);
        let texts = proptest::collection::vec((".{0,9}", ".{0,9}"), 0..4);
        let layers = proptest::collection::vec(any::<[u8; 16]>().prop_map(LayerId), 0..5);
        (
            digest(),
            proptest::option::of(digest()),
            layers,
            proptest::option::of(digest()),
            any::<i64>(),
            texts,
        )
            .prop_map(|(key, offered, layers, content, created_unix_ns, ingredients)| Record {
                key: Key(key),
                offered: offered.map(Key),
                layers,
                content,
                created_unix_ns,
                description: ingredients.iter().map(|(name, _)| name.as_str()).collect(),
                ingredients,
            })
    }

    proptest::proptest! {
        #[test]
        fn records_round_trip(record in any_record()) {
            let stamp = Stamp { boot: BootId([1; 16]), session: 2, sequence: 3 };
            proptest::prop_assert_eq!(Record::decode(&record.encode(&stamp)), Ok((stamp, record)));
        }

        /// With a right checksum, as only somebody with write access can make it, there is no panic either.
        #[test]
        fn nonsense_is_no_panic(payload in proptest::collection::vec(0_u8..3, 0..400)) {
            let mut encoder = Encoder::new(KIND, VERSION);
            encoder.raw(&payload);
            let _ = Record::decode(&encoder.finish());
        }
    }
}
