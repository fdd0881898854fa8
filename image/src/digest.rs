//! Digests: one type per meaning, all of them SHA-256.

use std::fmt;
use std::str::FromStr;

use ring::digest::{Context, SHA256, digest};

/// A SHA-256 digest, written `sha256:<64 hex digits>` as in the OCI image specification.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

/// Why a text is not a digest.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DigestError {
    /// The text has no `algorithm:` in front.
    #[error("digest `{text}` has no algorithm, expected `sha256:<64 hex digits>`")]
    NoAlgorithm {
        /// The text as given.
        text: String,
    },
    /// The algorithm is not SHA-256, the only one that this store keeps.
    #[error("digest algorithm `{algorithm}` is not known here, only `sha256` is")]
    UnknownAlgorithm {
        /// The algorithm as given.
        algorithm: String,
    },
    /// The part after the colon is not 64 lower-case hexadecimal digits.
    #[error("digest `{text}` does not have 64 lower-case hexadecimal digits")]
    NotHex {
        /// The text as given.
        text: String,
    },
}

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(array(digest(&SHA256, bytes)))
    }

    /// The 64 hexadecimal digits, without the algorithm.
    pub fn hex(&self) -> String {
        const_hex::encode(self.0)
    }

    /// Reads 64 lower-case hexadecimal digits.
    pub fn from_hex(hex: &str) -> Result<Self, DigestError> {
        let not_hex = || DigestError::NotHex { text: hex.to_owned() };
        if hex.len() != 64 || hex.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(not_hex());
        }
        const_hex::decode_to_array(hex).map(Self).map_err(|_| not_hex())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        match text.split_once(':') {
            Some(("sha256", hex)) => {
                Self::from_hex(hex).map_err(|_| DigestError::NotHex { text: text.to_owned() })
            }
            Some((algorithm, _)) => Err(DigestError::UnknownAlgorithm { algorithm: algorithm.to_owned() }),
            None => Err(DigestError::NoAlgorithm { text: text.to_owned() }),
        }
    }
}

impl serde::Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

macro_rules! digest_of {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub Digest);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = DigestError;

            fn from_str(text: &str) -> Result<Self, DigestError> {
                text.parse().map(Self)
            }
        }
    };
}

digest_of! {
    /// Digest of bytes as they are stored and travel: a compressed layer, a config, a manifest.
    BlobDigest
}
digest_of! {
    /// Digest of a layer's tar before compression. Goes into the image config.
    DiffId
}
digest_of! {
    /// Digest of an image's config: what `docker images` shows as the image id.
    ImageId
}

/// A SHA-256 computation over a stream of bytes.
#[derive(Clone)]
pub struct Sha256(Context);

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

impl Sha256 {
    /// Starts with no bytes.
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Adds `bytes` to the stream.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything added.
    pub fn finish(self) -> Digest {
        Digest(array(self.0.finish()))
    }
}

fn array(digest: ring::digest::Digest) -> [u8; 32] {
    digest.as_ref().try_into().expect("a SHA-256 digest has 32 bytes")
}

impl std::io::Write for Sha256 {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Hashes named fields so that no two different sequences of fields give the same bytes: every name and
/// every value is preceded by its length.
pub struct Hasher(Sha256);

impl Hasher {
    /// Starts a hash in its own domain, such as `run/v1`; a change of meaning changes the domain.
    pub fn new(domain: &str) -> Self {
        let mut hasher = Self(Sha256::new());
        hasher.put(domain.as_bytes());
        hasher
    }

    /// Adds one field.
    #[must_use]
    pub fn field(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.put(name.as_bytes());
        self.put(value.as_ref());
        self
    }

    /// Adds a list as one field: its length, then each element.
    #[must_use]
    pub fn list<T: AsRef<[u8]>>(mut self, name: &str, values: impl IntoIterator<Item = T>) -> Self {
        let values: Vec<T> = values.into_iter().collect();
        self.put(name.as_bytes());
        self.0.update(&(values.len() as u64).to_le_bytes());
        for value in &values {
            self.put(value.as_ref());
        }
        self
    }

    /// The digest of all fields in the order in which they were added.
    pub fn finish(self) -> Digest {
        self.0.finish()
    }

    fn put(&mut self, bytes: &[u8]) {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn text_round_trips() {
        assert_eq!(Digest::of(b"").to_string(), EMPTY);
        assert_eq!(EMPTY.parse::<Digest>(), Ok(Digest::of(b"")));
    }

    #[test]
    fn wrong_texts_are_named() {
        let error = |text: &str| text.parse::<Digest>().expect_err("not a digest").to_string();
        insta::assert_snapshot!(error("abc"), @"digest `abc` has no algorithm, expected `sha256:<64 hex digits>`");
        insta::assert_snapshot!(error("md5:abc"), @"digest algorithm `md5` is not known here, only `sha256` is");
        insta::assert_snapshot!(
            error("sha256:../../etc/passwd"),
            @"digest `sha256:../../etc/passwd` does not have 64 lower-case hexadecimal digits"
        );
        assert!(EMPTY.to_uppercase().replace("SHA256", "sha256").parse::<Digest>().is_err());
    }

    #[test]
    fn fields_do_not_run_together() {
        let ab_c = Hasher::new("t").field("ab", "c").finish();
        let a_bc = Hasher::new("t").field("a", "bc").finish();
        let one = Hasher::new("t").list("a", ["b", "c"]).finish();
        let two = Hasher::new("t").list("a", ["bc"]).finish();
        assert_ne!(ab_c, a_bc);
        assert_ne!(one, two);
    }
}
