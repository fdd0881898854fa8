//! Manifests and indexes: how an image is described to others.
//!
//! The types are oci-spec's; what is hashed goes through [`canonical_json`], since oci-spec keeps annotations
//! in unordered maps.

use oci_spec::image as oci;
use serde::Serialize;

use crate::{BlobDigest, Digest, Platform};

/// What a descriptor points at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MediaType {
    /// An OCI image config.
    Config,
    /// An OCI image manifest.
    Manifest,
    /// An OCI index.
    Index,
    /// A layer's tar as it is.
    Layer,
    /// A layer's tar behind gzip.
    LayerGzip,
    /// A layer's tar behind zstd.
    LayerZstd,
}

impl MediaType {
    /// The OCI media type.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Config => "application/vnd.oci.image.config.v1+json",
            Self::Manifest => "application/vnd.oci.image.manifest.v1+json",
            Self::Index => "application/vnd.oci.image.index.v1+json",
            Self::Layer => "application/vnd.oci.image.layer.v1.tar",
            Self::LayerGzip => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::LayerZstd => "application/vnd.oci.image.layer.v1.tar+zstd",
        }
    }

    /// The media type of Docker's manifests, schema 2.
    pub fn as_docker_str(self) -> &'static str {
        match self {
            Self::Config => "application/vnd.docker.container.image.v1+json",
            Self::Manifest => "application/vnd.docker.distribution.manifest.v2+json",
            Self::Index => "application/vnd.docker.distribution.manifest.list.v2+json",
            Self::Layer => "application/vnd.docker.image.rootfs.diff.tar",
            Self::LayerGzip => "application/vnd.docker.image.rootfs.diff.tar.gzip",
            Self::LayerZstd => "application/vnd.docker.image.rootfs.diff.tar.zstd",
        }
    }

    /// Reads an OCI media type or the Docker one of the same meaning.
    pub fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "application/vnd.oci.image.config.v1+json" | "application/vnd.docker.container.image.v1+json" => {
                Self::Config
            }
            "application/vnd.oci.image.manifest.v1+json"
            | "application/vnd.docker.distribution.manifest.v2+json" => Self::Manifest,
            "application/vnd.oci.image.index.v1+json"
            | "application/vnd.docker.distribution.manifest.list.v2+json" => Self::Index,
            "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar"
            | "application/vnd.docker.image.rootfs.diff.tar"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar" => Self::Layer,
            "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip" => Self::LayerGzip,
            "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd" => Self::LayerZstd,
            _ => return None,
        })
    }
}

/// Where a blob is to be found: its type, digest and size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Descriptor {
    /// Media type as written; see [`MediaType::parse`].
    pub media_type: String,
    /// Digest of the bytes.
    pub digest: BlobDigest,
    /// Number of bytes.
    pub size_bytes: u64,
    /// Platform, in an index.
    pub platform: Option<Platform>,
    /// Annotations, by key.
    pub annotations: std::collections::BTreeMap<String, String>,
    /// What it points at, when that is a manifest of something else than an image.
    pub artifact_type: Option<String>,
    /// Where else the bytes are, for layers that a registry may not have.
    pub urls: Vec<String>,
}

/// An image: its config and its layers, lowest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its own media type, as written; that of OCI when it says none.
    pub media_type: String,
    /// What it is, when it is something else than an image.
    pub artifact_type: Option<String>,
    /// The image config.
    pub config: Descriptor,
    /// The layers, lowest first.
    pub layers: Vec<Descriptor>,
    /// The manifest that it says something about, by which registries list it as a referrer.
    pub subject: Option<Descriptor>,
    /// Annotations, by key.
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// A list of manifests or of further indexes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its own media type, as written; that of OCI when it says none.
    pub media_type: String,
    /// What it lists.
    pub manifests: Vec<Descriptor>,
    /// Annotations, by key.
    pub annotations: std::collections::BTreeMap<String, String>,
}

/// Why a document is not a manifest or an index that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not the JSON of such a document.
    #[error("not the JSON of an image {what}")]
    Json {
        /// `manifest` or `index`.
        what: &'static str,
        /// The cause.
        source: serde_json::Error,
    },
    /// A descriptor's digest is of a kind that we do not keep.
    #[error("descriptor in an image {what} is unusable")]
    Descriptor {
        /// `manifest` or `index`.
        what: &'static str,
        /// The cause.
        source: crate::DigestError,
    },
}

impl Descriptor {
    /// A descriptor of a blob of our own.
    pub fn new(media_type: MediaType, digest: BlobDigest, size_bytes: u64) -> Self {
        Self {
            media_type: media_type.as_str().to_owned(),
            digest,
            size_bytes,
            platform: None,
            annotations: std::collections::BTreeMap::new(),
            artifact_type: None,
            urls: Vec::new(),
        }
    }

    fn read(what: &'static str, descriptor: &oci::Descriptor) -> Result<Self, ManifestError> {
        let digest: Digest = descriptor
            .digest()
            .to_string()
            .parse()
            .map_err(|source| ManifestError::Descriptor { what, source })?;
        let platform = descriptor.platform().as_ref().map(|platform| Platform {
            os: platform.os().to_string(),
            architecture: platform.architecture().to_string(),
            variant: platform.variant().clone(),
        });
        Ok(Self {
            media_type: descriptor.media_type().to_string(),
            digest: BlobDigest(digest),
            size_bytes: descriptor.size(),
            platform,
            annotations: descriptor.annotations().clone().unwrap_or_default().into_iter().collect(),
            artifact_type: descriptor.artifact_type().as_ref().map(ToString::to_string),
            urls: descriptor.urls().clone().unwrap_or_default(),
        })
    }

    fn to_oci(&self) -> oci::Descriptor {
        let digest: oci::Digest = self.digest.to_string().parse().expect("our digests are OCI digests");
        let mut descriptor =
            oci::Descriptor::new(oci::MediaType::from(self.media_type.as_str()), self.size_bytes, digest);
        descriptor.set_platform(self.platform.as_ref().map(|platform| {
            let builder = oci::PlatformBuilder::default()
                .os(oci::Os::from(platform.os.as_str()))
                .architecture(oci::Arch::from(platform.architecture.as_str()));
            let builder = match &platform.variant {
                Some(variant) => builder.variant(variant.clone()),
                None => builder,
            };
            builder.build().expect("os and architecture are set")
        }));
        descriptor.set_artifact_type(self.artifact_type.as_deref().map(oci::MediaType::from));
        if !self.urls.is_empty() {
            descriptor.set_urls(Some(self.urls.clone()));
        }
        if !self.annotations.is_empty() {
            descriptor.set_annotations(Some(self.annotations.clone().into_iter().collect()));
        }
        descriptor
    }
}

impl Manifest {
    /// An OCI manifest.
    pub fn new(config: Descriptor, layers: Vec<Descriptor>) -> Self {
        let media_type = MediaType::Manifest.as_str().to_owned();
        Self {
            media_type,
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: std::collections::BTreeMap::new(),
        }
    }

    /// Reads an OCI or Docker schema 2 manifest.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let what = "manifest";
        let manifest: oci::ImageManifest =
            serde_json::from_slice(bytes).map_err(|source| ManifestError::Json { what, source })?;
        let read = |descriptor| Descriptor::read(what, descriptor);
        let own_type = manifest.media_type().as_ref().map(ToString::to_string);
        Ok(Self {
            media_type: own_type.unwrap_or_else(|| MediaType::Manifest.as_str().to_owned()),
            artifact_type: manifest.artifact_type().as_ref().map(ToString::to_string),
            config: read(manifest.config())?,
            layers: manifest.layers().iter().map(read).collect::<Result<_, _>>()?,
            subject: manifest.subject().as_ref().map(read).transpose()?,
            annotations: manifest.annotations().clone().unwrap_or_default().into_iter().collect(),
        })
    }

    /// The document; equal manifests give equal bytes.
    pub fn to_json(&self) -> Vec<u8> {
        let mut manifest = oci::ImageManifestBuilder::default()
            .schema_version(oci::SCHEMA_VERSION)
            .media_type(oci::MediaType::from(self.media_type.as_str()))
            .config(self.config.to_oci())
            .layers(self.layers.iter().map(Descriptor::to_oci).collect::<Vec<_>>())
            .build()
            .expect("every required field is set");
        manifest.set_artifact_type(self.artifact_type.as_deref().map(oci::MediaType::from));
        manifest.set_subject(self.subject.as_ref().map(Descriptor::to_oci));
        if !self.annotations.is_empty() {
            manifest.set_annotations(Some(self.annotations.clone().into_iter().collect()));
        }
        canonical_json(&manifest)
    }
}

impl Index {
    /// An OCI index.
    pub fn new(manifests: Vec<Descriptor>) -> Self {
        let media_type = MediaType::Index.as_str().to_owned();
        Self { media_type, manifests, annotations: std::collections::BTreeMap::new() }
    }

    /// Reads an OCI index or a Docker manifest list.
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let what = "index";
        let index: oci::ImageIndex =
            serde_json::from_slice(bytes).map_err(|source| ManifestError::Json { what, source })?;
        let read = |descriptor| Descriptor::read(what, descriptor);
        let own_type = index.media_type().as_ref().map(ToString::to_string);
        Ok(Self {
            media_type: own_type.unwrap_or_else(|| MediaType::Index.as_str().to_owned()),
            manifests: index.manifests().iter().map(read).collect::<Result<_, _>>()?,
            annotations: index.annotations().clone().unwrap_or_default().into_iter().collect(),
        })
    }

    /// The document; equal indexes give equal bytes.
    pub fn to_json(&self) -> Vec<u8> {
        let mut index = oci::ImageIndexBuilder::default()
            .schema_version(oci::SCHEMA_VERSION)
            .media_type(oci::MediaType::from(self.media_type.as_str()))
            .manifests(self.manifests.iter().map(Descriptor::to_oci).collect::<Vec<_>>())
            .build()
            .expect("every required field is set");
        if !self.annotations.is_empty() {
            index.set_annotations(Some(self.annotations.clone().into_iter().collect()));
        }
        canonical_json(&index)
    }
}

/// JSON with the keys of every object in order, so that equal values are equal bytes.
pub fn canonical_json(value: &impl Serialize) -> Vec<u8> {
    // serde_json's own map is ordered as long as nobody turns `preserve_order` on; a test below watches.
    let value = serde_json::to_value(value).expect("image documents have string keys");
    serde_json::to_vec(&value).expect("a JSON value can be written")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_order() {
        let value: serde_json::Value = serde_json::from_str(r#"{"b":1,"a":{"d":1,"c":2}}"#).unwrap();
        assert_eq!(canonical_json(&value), br#"{"a":{"c":2,"d":1},"b":1}"#);
    }

    #[test]
    fn manifests_round_trip() {
        let blob = BlobDigest(Digest::of(b""));
        let config = Descriptor::new(MediaType::Config, blob, 0);
        let mut manifest = Manifest::new(config, vec![Descriptor::new(MediaType::LayerGzip, blob, 7)]);
        manifest.artifact_type = Some("application/x".into());
        manifest.subject = Some(Descriptor::new(MediaType::Manifest, blob, 9));
        let json = manifest.to_json();
        assert_eq!(Manifest::parse(&json).unwrap(), manifest);
        let mut descriptor = Descriptor::new(MediaType::Manifest, blob, json.len() as u64);
        descriptor.platform = Some("linux/arm/v7".parse().unwrap());
        descriptor.annotations.insert("org.opencontainers.image.ref.name".into(), "1".into());
        let mut index = Index::new(vec![descriptor]);
        index.media_type = MediaType::Index.as_docker_str().into();
        index.annotations.insert("a".into(), "b".into());
        assert_eq!(Index::parse(&index.to_json()).unwrap(), index);
    }
}
