//! Tars that carry images: what is in them, where, and how they are written.

mod docker;
mod index;
mod join;
pub(crate) mod layout;
mod limits;
mod member;
mod open;
mod writer;

use std::io;

use image::{BlobDigest, DiffId, Digest, Reference};

pub(crate) use docker::{
    MANIFEST, REPOSITORIES, docker_image, docker_images, manifest_json, repositories_json,
};
pub(crate) use join::{JoiningWriter, LayoutLock, read_index};
pub use join::{name_in_layout, named_in_layout};
pub use layout::LayoutName;
pub(crate) use layout::{
    INDEX, LAYOUT, LAYOUT_JSON, NAME_ANNOTATION, REF_NAME_ANNOTATION, is_attestation, oci_image, oci_images,
};
pub(crate) use limits::{INDEX_DEPTH_MAX, MANIFESTS_MAX};
pub(crate) use member::Archive;
pub use open::Source;
pub(crate) use open::open;
pub(crate) use writer::{ArchiveWriter, BundleWriter};

/// An image in an archive.
#[derive(Debug)]
pub(crate) struct ArchivedImage {
    /// The document that names its parts.
    pub(crate) named_by: String,
    pub(crate) config: ArchivedBlob,
    /// Lowest first.
    pub(crate) layers: Vec<ArchivedBlob>,
    pub(crate) tags: Vec<Reference>,
}

/// A member with what is promised about it.
#[derive(Debug)]
pub(crate) struct ArchivedBlob {
    pub(crate) name: String,
    /// Digest and size from the descriptor, where there is one.
    pub(crate) expected: Option<(BlobDigest, u64)>,
}

impl ArchivedBlob {
    fn unverified(name: String) -> Self {
        Self { name, expected: None }
    }
}

/// Why an archive cannot be loaded.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The bytes do not arrive.
    #[error("cannot read the archive")]
    Read {
        /// The cause.
        source: io::Error,
    },
    /// The bytes cannot be kept while the archive is read.
    #[error("cannot keep the archive in the store while it is read")]
    Spool {
        /// The cause.
        source: io::Error,
    },
    /// Some other file.
    #[error(
        "not an image archive: it has neither `manifest.json` nor `index.json`; a file system is imported with `slipway import`"
    )]
    NotAnArchive,
    /// A directory that is none.
    #[error("not an OCI layout: it has no `index.json`")]
    NotALayout,
    /// There is no image of that name.
    #[error("the layout has no image `{name}`, only {}", if found.is_empty() { "none".to_owned() } else { found.join(", ") })]
    NoImage {
        /// What was looked for.
        name: String,
        /// Tags and digests of those that there are.
        found: Vec<String>,
    },
    /// The tar ends too early.
    #[error("the archive is truncated at byte {at}")]
    Truncated {
        /// Where more bytes were expected.
        at: u64,
    },
    /// A tar header that makes no sense.
    #[error("the archive is damaged at byte {at}: {what}")]
    Header {
        /// Where the header begins.
        at: u64,
        /// What is wrong.
        what: &'static str,
    },
    /// A member or a reference to one that leads out of the archive.
    #[error("the archive has the member name `{name}`, which leads out of it")]
    Escapes {
        /// As written.
        name: String,
    },
    /// Two members with one name: readers would not agree on which one counts.
    #[error("the archive has two members named `{name}`")]
    Twice {
        /// The name.
        name: String,
    },
    /// More of something than a real archive has.
    #[error("the archive has more than {max} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// The limit.
        max: u64,
    },
    /// A member that another one names is not there.
    #[error("the archive has no `{name}`, which `{named_by}` names")]
    Missing {
        /// The absent member.
        name: String,
        /// Where it is named.
        named_by: String,
    },
    /// A document that cannot be read.
    #[error("`{name}` in the archive is not the JSON it should be")]
    Json {
        /// The member.
        name: String,
        /// The cause.
        source: serde_json::Error,
    },
    /// A manifest or index that cannot be used.
    #[error("`{name}` in the archive cannot be used")]
    Manifest {
        /// The member.
        name: String,
        /// The cause.
        source: image::ManifestError,
    },
    /// A blob that is not what its name says.
    #[error("`{name}` in the archive has digest {actual}, its name says {expected}")]
    WrongDigest {
        /// The member.
        name: String,
        /// From the name or the descriptor.
        expected: BlobDigest,
        /// Of the bytes.
        actual: BlobDigest,
    },
    /// A blob that is longer or shorter than its descriptor says.
    #[error("`{name}` in the archive has {actual} bytes, its descriptor says {expected}")]
    WrongSize {
        /// The member.
        name: String,
        /// From the descriptor.
        expected: u64,
        /// In the archive.
        actual: u64,
    },
    /// A document that one reader could take for a manifest and another for an index.
    #[error("`{name}` in the archive is not what its descriptor says")]
    Confused {
        /// The member.
        name: String,
    },
    /// A config and a manifest that do not belong together.
    #[error("`{name}` in the archive lists {layers} layers, its config {diff_ids}")]
    LayerCount {
        /// The manifest.
        name: String,
        /// Layers in it.
        layers: usize,
        /// Layers in the config.
        diff_ids: usize,
    },
    /// A layer that cannot be unpacked, or is not the one that the config names.
    #[error("layer {diff_id} in the archive (`{name}`) cannot be used")]
    Layer {
        /// The member.
        name: String,
        /// What it should be.
        diff_id: DiffId,
        /// The cause.
        source: Box<cache::StoreError>,
    },
    /// A member compressed in an unknown or broken way.
    #[error("`{name}` in the archive cannot be decompressed")]
    Decompress {
        /// The member.
        name: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A tag that is no image name.
    #[error("`{name}` in the archive has the unusable tag `{tag}`")]
    Tag {
        /// The document.
        name: String,
        /// As written.
        tag: String,
        /// The cause.
        source: image::ReferenceError,
    },
    /// An image for another operating system.
    #[error("cannot load {os} image {digest} on linux")]
    OperatingSystem {
        /// As the config says.
        os: String,
        /// Digest of the config.
        digest: Digest,
    },
    /// The image archive holds only images for other platforms.
    #[error("the archive has no image for {wanted}, only for {}", found.join(", "))]
    NoPlatform {
        /// This machine.
        wanted: String,
        /// What is there.
        found: Vec<String>,
    },
}
