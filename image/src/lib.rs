//! What an image is: digests, references, platforms, manifests, configs.
//!
//! Pure: no I/O, no clock, no environment.

mod config;
mod digest;
mod manifest;
mod platform;
mod reference;

pub use config::{Healthcheck, History, ImageConfig, RootFs, RunConfig};
pub use digest::{BlobDigest, DiffId, Digest, DigestError, Hasher, ImageId, Sha256};
pub use manifest::{Descriptor, Index, Manifest, ManifestError, MediaType, canonical_json};
pub use platform::{Platform, PlatformError};
pub use reference::{Reference, ReferenceError};
