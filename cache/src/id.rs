//! The names of records and layers.

use std::fmt;
use std::str::FromStr;

use image::Digest;
use rustix::rand::{GetRandomFlags, getrandom};

/// Name of a key record: the digest of everything that can change what a step produces.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub Digest);

impl fmt::Display for Key {
    /// The 64 hexadecimal digits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Name of a layer in one store: random, so that no two processes ever choose the same.
///
/// It says nothing about the content; see [`Layer::diff_id`](crate::Layer::diff_id) for that.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerId(pub [u8; 16]);

/// A text is not a layer id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("layer id `{text}` does not have 32 lower-case hexadecimal digits")]
pub struct LayerIdError {
    /// The text as given.
    pub text: String,
}

impl LayerId {
    pub(crate) fn random() -> Self {
        let mut bytes = [0; 16];
        random(&mut bytes);
        Self(bytes)
    }
}

impl fmt::Display for LayerId {
    /// The 32 hexadecimal digits: the name of the layer's directory.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&const_hex::encode(self.0))
    }
}

impl fmt::Debug for LayerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for LayerId {
    type Err = LayerIdError;

    fn from_str(text: &str) -> Result<Self, LayerIdError> {
        let error = || LayerIdError { text: text.to_owned() };
        if text.len() != 32 || text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(error());
        }
        const_hex::decode_to_array(text).map(Self).map_err(|_| error())
    }
}

/// Fills `bytes`, at most 256 of them, from the kernel's generator, see getrandom(2).
pub(crate) fn random(bytes: &mut [u8]) {
    let wanted = bytes.len();
    let filled = rustix::io::retry_on_intr(|| getrandom(&mut *bytes, GetRandomFlags::empty()));
    // The kernel promises requests of up to 256 bytes to be answered in full, and has no other error.
    assert_eq!(filled, Ok(wanted), "getrandom(2) fills small buffers");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layer_ids_round_trip_and_differ() {
        let id = LayerId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_ne!(id, LayerId::random());
    }

    #[test]
    fn other_texts_are_no_layer_ids() {
        let id = "0123456789abcdef0123456789abcdef";
        assert!(id.parse::<LayerId>().is_ok());
        for text in [
            "",
            "..",
            &id[1..],
            &id.to_uppercase(),
            "0x23456789abcdef0123456789abcdef",
            "../3456789abcdef0123456789abcdef",
        ] {
            assert!(text.parse::<LayerId>().is_err(), "{text}");
        }
    }
}
