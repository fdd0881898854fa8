//! Keys: what a result is found by.

use std::fmt;

use graph::OpDigest;
use image::{Digest, Hasher};

/// Identifies the result of a vertex: equal keys mean equal results.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(pub Digest);

impl Key {
    /// The key of a source: the operation and who the source is.
    pub(crate) fn of_source(op: OpDigest, identity: &Digest) -> Self {
        Self(Hasher::new("source-key/v1").field("op", op.0.0).field("identity", identity.0).finish())
    }

    /// The definition key: the operation and the keys of all inputs. Known without running anything.
    pub(crate) fn of_definition(op: OpDigest, inputs: &[Key]) -> Self {
        let inputs = inputs.iter().map(|key| key.0.0);
        Self(Hasher::new("definition-key/v1").field("op", op.0.0).list("inputs", inputs).finish())
    }

    /// The content key: the operation, the keys of the inputs that it continues, and a digest of just the
    /// paths that it reads of the others.
    pub(crate) fn of_content(op: OpDigest, continued: &[Key], read: &Digest) -> Self {
        let continued = continued.iter().map(|key| key.0.0);
        let hasher = Hasher::new("content-key/v1").field("op", op.0.0).list("continued", continued);
        Self(hasher.field("read", read.0).finish())
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}
