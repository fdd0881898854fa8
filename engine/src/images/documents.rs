//! The documents of images that leave together: manifests, what is attested of them, and the index over all.

use image::{
    BlobDigest, Descriptor, Digest, Index, Manifest, MediaType, Platform, Reference, canonical_json,
};
use serde_json::json;

use super::annotations::AnnotationLevel;
use super::form::{ImageForm, MediaTypes};
use super::set::Predicate;

/// A statement, see <https://github.com/in-toto/attestation/blob/main/spec/v1/README.md>.
const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v0.1";
const STATEMENT_MEDIA_TYPE: &str = "application/vnd.in-toto+json";
/// By which referrers of an image are told apart, as in BuildKit.
pub(crate) const ATTESTATION_ARTIFACT: &str = "application/vnd.docker.attestation.manifest.v1+json";
const PREDICATE_ANNOTATION: &str = "in-toto.io/predicate-type";
const REFERENCE_TYPE: &str = "vnd.docker.reference.type";
const REFERENCE_DIGEST: &str = "vnd.docker.reference.digest";
/// The subject of a statement about an image without a name, as in BuildKit.
const NAMELESS: &str = "_";
/// The operating system and the architecture of what is no image.
const UNKNOWN: &str = "unknown";

/// Bytes with what describes them.
#[derive(Debug, Clone)]
pub(crate) struct Document {
    pub(crate) descriptor: Descriptor,
    pub(crate) bytes: Vec<u8>,
}

impl Document {
    pub(crate) fn new(media_type: &str, bytes: Vec<u8>) -> Self {
        let digest = BlobDigest(Digest::of(&bytes));
        let mut descriptor = Descriptor::new(MediaType::Manifest, digest, bytes.len() as u64);
        media_type.clone_into(&mut descriptor.media_type);
        Self { descriptor, bytes }
    }
}

/// An image with a manifest.
pub(crate) struct Described {
    pub(crate) manifest: Document,
    pub(crate) platform: Platform,
    pub(crate) predicates: Vec<Predicate>,
}

/// What a set of images consists of beside its configs and layers.
pub(crate) struct Documents {
    /// Blobs of the attestations.
    pub(crate) blobs: Vec<Document>,
    /// Manifests of the images.
    pub(crate) manifests: Vec<Document>,
    /// Manifests that refer to one of these, each with which.
    pub(crate) attestations: Vec<(BlobDigest, Document)>,
    /// The index over all of them; none for an image alone.
    pub(crate) index: Option<Document>,
}

impl Documents {
    /// The documents of images with these names. The same images and names give the same bytes.
    pub(crate) fn new(images: Vec<Described>, names: &[Reference], form: &ImageForm) -> Self {
        let is_index = images.len() > 1 || images.iter().any(|image| !image.predicates.is_empty());
        let mut all =
            Self { blobs: Vec::new(), manifests: Vec::new(), attestations: Vec::new(), index: None };
        for Described { mut manifest, platform, predicates } in images {
            manifest.descriptor.annotations =
                form.annotations.of(AnnotationLevel::ManifestDescriptor, Some(&platform));
            manifest.descriptor.platform = Some(platform.clone());
            if !predicates.is_empty() {
                all.attest(&manifest, &platform, &predicates, names);
            }
            all.manifests.push(manifest);
        }
        if is_index {
            all.index = Some(all.index(form));
        }
        all
    }

    /// What the names stand for.
    pub(crate) fn top(&self) -> &Document {
        self.index.as_ref().unwrap_or(&self.manifests[0])
    }

    fn attest(
        &mut self,
        manifest: &Document,
        platform: &Platform,
        predicates: &[Predicate],
        names: &[Reference],
    ) {
        let image = &manifest.descriptor.digest;
        let statement = |predicate: &Predicate| {
            let mut statement = statement(predicate, image, platform, names);
            let kind = (PREDICATE_ANNOTATION.to_owned(), predicate.kind.clone());
            statement.descriptor.annotations.extend([kind]);
            statement
        };
        let statements: Vec<_> = predicates.iter().map(statement).collect();
        let diff_ids: Vec<_> = statements.iter().map(|it| it.descriptor.digest.to_string()).collect();
        let config = json!({
            "architecture": UNKNOWN, "os": UNKNOWN, "config": {},
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
        });
        let config = Document::new(MediaType::Config.as_str(), canonical_json(&config));
        let layers = statements.iter().map(|statement| statement.descriptor.clone()).collect();
        let mut attestation = Manifest::new(config.descriptor.clone(), layers);
        attestation.artifact_type = Some(ATTESTATION_ARTIFACT.to_owned());
        let mut subject = manifest.descriptor.clone();
        (subject.platform, subject.annotations) = (None, Default::default());
        attestation.subject = Some(subject);
        let mut attestation = Document::new(MediaType::Manifest.as_str(), attestation.to_json());
        attestation.descriptor.platform =
            Some(Platform { os: UNKNOWN.to_owned(), architecture: UNKNOWN.to_owned(), variant: None });
        attestation.descriptor.annotations.extend([
            (REFERENCE_TYPE.to_owned(), "attestation-manifest".to_owned()),
            (REFERENCE_DIGEST.to_owned(), image.to_string()),
        ]);
        self.blobs.extend(statements);
        self.blobs.push(config);
        self.attestations.push((*image, attestation));
    }

    fn index(&self, form: &ImageForm) -> Document {
        let attestations = self.attestations.iter().map(|(_, document)| document);
        let entries = self.manifests.iter().chain(attestations);
        let mut index = Index::new(entries.map(|document| document.descriptor.clone()).collect());
        // Docker's lists know no attestations.
        if form.media_types == MediaTypes::Docker && self.attestations.is_empty() {
            MediaType::Index.as_docker_str().clone_into(&mut index.media_type);
        }
        index.annotations = form.annotations.of(AnnotationLevel::Index, None);
        let mut document = Document::new(&index.media_type, index.to_json());
        document.descriptor.annotations = form.annotations.of(AnnotationLevel::IndexDescriptor, None);
        document
    }
}

fn statement(
    predicate: &Predicate,
    image: &BlobDigest,
    platform: &Platform,
    names: &[Reference],
) -> Document {
    let subject = |name: String| json!({"name": name, "digest": {"sha256": image.0.hex()}});
    let mut subjects: Vec<_> = names.iter().map(|name| subject(package_url(name, platform))).collect();
    if subjects.is_empty() {
        subjects.push(subject(NAMELESS.to_owned()));
    }
    let statement = json!({
        "_type": STATEMENT_TYPE,
        "predicateType": predicate.kind,
        "subject": subjects,
        "predicate": predicate.value,
    });
    Document::new(STATEMENT_MEDIA_TYPE, canonical_json(&statement))
}

/// An image as a package URL, see <https://github.com/package-url/purl-spec>.
pub(crate) fn package_url(name: &Reference, platform: &Platform) -> String {
    let platform = platform.to_string().replace('/', "%2F");
    let version = name.tag().map(|tag| format!("@{tag}")).unwrap_or_default();
    format!("pkg:docker/{}{version}?platform={platform}", name.familiar_name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_package_urls() {
        let url = |name: &str| package_url(&name.parse().unwrap(), &"linux/arm/v7".parse().unwrap());
        insta::assert_snapshot!(url("alpine"), @"pkg:docker/alpine@latest?platform=linux%2Farm%2Fv7");
        insta::assert_snapshot!(url("localhost:5000/a/b:1"), @"pkg:docker/localhost:5000/a/b@1?platform=linux%2Farm%2Fv7");
    }
}
