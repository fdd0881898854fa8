//! Manifests and indexes: read and verified, written.

use bytes::Bytes;
use image::{BlobDigest, Descriptor, Digest, MediaType, Reference};
use reqwest::Method;
use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde::Deserialize;

use crate::host::Host;
use crate::limits::{DOCUMENT_BYTES_MAX, MANIFEST_BYTES_MAX};
use crate::referrers::SUBJECT_HEADER;
use crate::request::{Answer, Body, Request};
use crate::{RegistryError, Repository};

/// Every kind of document that can be used here, the newest first.
const ACCEPTED: [&str; 4] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

/// What a document describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// One image.
    Manifest,
    /// Images for several platforms.
    Index,
}

/// Why a document is neither.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KindError {
    /// Not JSON at all.
    #[error("it is not JSON")]
    NotJson,
    /// The oldest form of manifests, which nobody should use.
    #[error(
        "it is a manifest of schema version 1, which is no longer used; push the image again with a newer tool"
    )]
    Schema1,
    /// Something else that registries keep.
    #[error("its media type is `{media_type}`")]
    Other {
        /// As the registry or the document says.
        media_type: String,
    },
    /// The document could be taken for another kind than it claims to be.
    #[error(
        "it can be read as a manifest and as an index, or says `{inside}` of itself and is sent as `{outside}`"
    )]
    Confused {
        /// Media type within the document.
        inside: String,
        /// Media type around it.
        outside: String,
    },
}

/// A manifest or an index as a registry gave it, verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchedManifest {
    /// Type, digest and size.
    pub descriptor: Descriptor,
    /// What it describes.
    pub kind: Kind,
    /// The document.
    pub bytes: Vec<u8>,
}

/// What tells the kinds of documents apart.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct Shape {
    schema_version: Option<u64>,
    media_type: Option<String>,
    manifests: Option<serde::de::IgnoredAny>,
    config: Option<serde::de::IgnoredAny>,
    layers: Option<serde::de::IgnoredAny>,
    fs_layers: Option<serde::de::IgnoredAny>,
}

/// Tells what a document is, from the media type that came with it and from itself. Both must agree, so that no two
/// readers see two different images in it.
pub fn kind_of(bytes: &[u8], sent_as: Option<&str>) -> Result<(Kind, String), KindError> {
    let shape: Shape = serde_json::from_slice(bytes).map_err(|_| KindError::NotJson)?;
    let sent_as =
        sent_as.map(|text| text.split(';').next().unwrap_or(text).trim()).filter(|text| !text.is_empty());
    // Some registries send everything as JSON.
    let sent_as = sent_as.filter(|text| *text != "application/json" && *text != "text/plain");
    if shape.fs_layers.is_some() || shape.schema_version == Some(1) {
        return Err(KindError::Schema1);
    }
    let by_shape = match (shape.manifests.is_some(), shape.config.is_some() || shape.layers.is_some()) {
        (true, false) => Some(Kind::Index),
        (false, true) => Some(Kind::Manifest),
        _ => None,
    };
    let confused = || KindError::Confused {
        inside: shape.media_type.clone().unwrap_or_default(),
        outside: sent_as.unwrap_or_default().to_owned(),
    };
    if let (Some(inside), Some(outside)) = (&shape.media_type, sent_as)
        && inside != outside
    {
        return Err(confused());
    }
    let default = match by_shape {
        Some(Kind::Index) => MediaType::Index.as_str(),
        _ => MediaType::Manifest.as_str(),
    };
    let media_type = shape.media_type.as_deref().or(sent_as).unwrap_or(default).to_owned();
    let by_type = match MediaType::parse(&media_type) {
        Some(MediaType::Manifest) => Kind::Manifest,
        Some(MediaType::Index) => Kind::Index,
        _ => return Err(KindError::Other { media_type }),
    };
    if by_shape == Some(by_type) { Ok((by_type, media_type)) } else { Err(confused()) }
}

impl Repository {
    /// The document that a tag or a digest names: the digest, if the name has one.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NoManifest`] when there is none; [`RegistryError::WrongDigest`] and
    /// [`RegistryError::Kind`] when it is another one, or none that can be used.
    pub async fn manifest(&self, name: &Reference) -> Result<FetchedManifest, RegistryError> {
        self.read(|host| self.manifest_from(host, name, None)).await
    }

    /// The document that a descriptor of an index names.
    pub async fn manifest_of(
        &self,
        name: &Reference,
        descriptor: &Descriptor,
    ) -> Result<FetchedManifest, RegistryError> {
        self.read(|host| self.manifest_from(host, name, Some(descriptor))).await
    }

    /// Type, digest and size of what a tag or digest names, without fetching it where the registry can tell.
    pub async fn head_manifest(&self, name: &Reference) -> Result<Descriptor, RegistryError> {
        let head = self.read(|host| self.head_from(host, name)).await?;
        match head {
            Some(descriptor) => Ok(descriptor),
            None => Ok(self.manifest(name).await?.descriptor),
        }
    }

    /// Writes a document under a tag or its digest.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Status`] with what the registry says: a tag that cannot be changed, a blob that it misses.
    pub async fn put_manifest(
        &self,
        name: &Reference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<BlobDigest, RegistryError> {
        Ok(self.put_document(name, media_type, bytes).await?.0)
    }

    /// The same; also whether the registry says that it knows what the document refers to.
    pub(crate) async fn put_document(
        &self,
        name: &Reference,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<(BlobDigest, bool), RegistryError> {
        let host = self.registry();
        let scope = crate::auth::Scope::push(self.path());
        let digest = Digest::of(bytes);
        let which = name.tag().map_or_else(|| digest.to_string(), str::to_owned);
        let url = host.url(&format!("{}/manifests/{which}", self.path())).await?;
        let request = Request::new(Method::PUT, url, &scope)
            .header(CONTENT_TYPE, media_type)
            .body(Body::Bytes(Bytes::copy_from_slice(bytes)));
        let mut answer = host.send(&request).await?;
        if !answer.response.status().is_success() {
            return Err(answer.refusal(&request).await);
        }
        if let Some(named) = digest_header(&answer)
            && named != digest
        {
            return Err(RegistryError::WrongDigest { expected: digest, actual: named });
        }
        let knows_subject = answer.header(SUBJECT_HEADER).is_some();
        answer.document(DOCUMENT_BYTES_MAX).await?;
        Ok((BlobDigest(digest), knows_subject))
    }

    async fn manifest_from(
        &self,
        host: std::sync::Arc<Host>,
        name: &Reference,
        descriptor: Option<&Descriptor>,
    ) -> Result<FetchedManifest, RegistryError> {
        let expected = descriptor.map(|it| it.digest.0).or(name.digest().copied());
        let which = expected.map(|digest| digest.to_string()).or(name.tag().map(str::to_owned));
        let which = which.expect("a name has a tag or a digest");
        let request = self.request(&host, Method::GET, &which).await?;
        let mut answer = host.send(&request).await?;
        if answer.status() != 200 {
            return Err(self.refusal(answer, &request, name).await);
        }
        let sent_as = answer.header("content-type").map(str::to_owned);
        let promised = digest_header(&answer);
        let bytes = answer.document(MANIFEST_BYTES_MAX).await?;
        let actual = Digest::of(&bytes);
        if let Some(expected) = expected.or(promised)
            && expected != actual
        {
            return Err(RegistryError::WrongDigest { expected, actual });
        }
        if let Some(descriptor) = descriptor
            && descriptor.size_bytes != bytes.len() as u64
        {
            let (expected, actual_size) = (descriptor.size_bytes, bytes.len() as u64);
            return Err(RegistryError::WrongSize { digest: actual, expected, actual: actual_size });
        }
        let outside = descriptor.map(|it| it.media_type.as_str()).or(sent_as.as_deref());
        let (kind, media_type) = kind_of(&bytes, outside)
            .map_err(|source| RegistryError::Kind { name: name.familiar(), source })?;
        let mut descriptor = Descriptor::new(MediaType::Manifest, BlobDigest(actual), bytes.len() as u64);
        descriptor.media_type = media_type;
        Ok(FetchedManifest { descriptor, kind, bytes })
    }

    /// None when the registry does not tell enough without sending the document.
    async fn head_from(
        &self,
        host: std::sync::Arc<Host>,
        name: &Reference,
    ) -> Result<Option<Descriptor>, RegistryError> {
        let which = name.digest().map(Digest::to_string).or(name.tag().map(str::to_owned));
        let which = which.expect("a name has a tag or a digest");
        let request = self.request(&host, Method::HEAD, &which).await?;
        let answer = host.send(&request).await?;
        match answer.status() {
            200 => {}
            401 | 403 | 404 => return Err(self.refusal(answer, &request, name).await),
            _ => return Ok(None),
        }
        let size = answer.header("content-length").and_then(|size| size.parse().ok());
        let media_type = answer.header("content-type").and_then(|text| text.split(';').next());
        let (Some(digest), Some(size), Some(media_type)) = (digest_header(&answer), size, media_type) else {
            return Ok(None);
        };
        let mut descriptor = Descriptor::new(MediaType::Manifest, BlobDigest(digest), size);
        descriptor.media_type = media_type.trim().to_owned();
        Ok(Some(descriptor))
    }

    async fn request(&self, host: &Host, method: Method, which: &str) -> Result<Request, RegistryError> {
        let url = host.url(&format!("{}/manifests/{which}", self.path())).await?;
        let request = Request::new(method, url, &self.pull_scope());
        Ok(ACCEPTED.iter().fold(request, |request, accepted| request.header(ACCEPT, accepted)))
    }

    async fn refusal(&self, answer: Answer, request: &Request, name: &Reference) -> RegistryError {
        match answer.refusal(request).await {
            RegistryError::Status { status: 404, detail, .. } => {
                RegistryError::NoManifest { name: name.familiar(), detail }
            }
            RegistryError::Denied { detail, .. } => RegistryError::Denied {
                host: self.domain().to_owned(),
                repository: name.familiar_name(),
                detail,
            },
            error => error,
        }
    }
}

/// What the registry says of the document's digest; a digest of another kind says nothing to us.
fn digest_header(answer: &Answer) -> Option<Digest> {
    answer.header("docker-content-digest")?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(document: &str, sent_as: &str) -> String {
        match kind_of(document.as_bytes(), Some(sent_as)) {
            Ok((kind, media_type)) => format!("{kind:?} {media_type}"),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn documents_are_what_they_say() {
        let oci = "application/vnd.oci.image.manifest.v1+json";
        let list = "application/vnd.docker.distribution.manifest.list.v2+json";
        insta::assert_snapshot!(shown(r#"{"config":{},"layers":[]}"#, oci), @"Manifest application/vnd.oci.image.manifest.v1+json");
        insta::assert_snapshot!(shown(r#"{"manifests":[]}"#, &format!("{list}; charset=utf-8")), @"Index application/vnd.docker.distribution.manifest.list.v2+json");
        insta::assert_snapshot!(shown(r#"{"manifests":[]}"#, "application/json"), @"Index application/vnd.oci.image.index.v1+json");
    }

    #[test]
    fn documents_of_two_kinds_are_refused() {
        let oci = "application/vnd.oci.image.manifest.v1+json";
        let index = "application/vnd.oci.image.index.v1+json";
        for (document, sent_as) in [
            (r#"{"manifests":[],"config":{},"layers":[]}"#, oci),
            (r#"{"manifests":[],"layers":[]}"#, index),
            (r#"{"manifests":[]}"#, oci),
            (r#"{"config":{},"layers":[]}"#, index),
            (&format!(r#"{{"mediaType":"{index}","manifests":[]}}"#), oci),
            ("{}", oci),
            ("{}", ""),
        ] {
            assert!(
                matches!(kind_of(document.as_bytes(), Some(sent_as)), Err(KindError::Confused { .. })),
                "{document}"
            );
        }
        insta::assert_snapshot!(shown(r#"{"schemaVersion":1,"fsLayers":[]}"#, ""), @"it is a manifest of schema version 1, which is no longer used; push the image again with a newer tool");
        insta::assert_snapshot!(shown("{}", "application/x"), @"its media type is `application/x`");
        insta::assert_snapshot!(shown("<html>", "text/html"), @"it is not JSON");
    }
}
