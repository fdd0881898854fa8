//! OCI layouts: `index.json` and the manifests below it.

use std::collections::BTreeMap;

use image::{Descriptor, Index, Manifest, MediaType, Platform, Reference};
use serde::Deserialize;

use super::docker::parse_tag;
use super::limits::{INDEX_DEPTH_MAX, MANIFESTS_MAX, TAGS_MAX};
use super::{Archive, ArchiveError, ArchivedBlob, ArchivedImage};

/// The whole of the file `oci-layout`.
pub(crate) const LAYOUT_JSON: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;
pub(crate) const LAYOUT: &str = "oci-layout";
pub(crate) const INDEX: &str = "index.json";
/// The full name of an image; containerd and Docker write and read it.
pub(crate) const NAME_ANNOTATION: &str = "io.containerd.image.name";
/// Its tag, or in archives of some tools the full name.
pub(crate) const REF_NAME_ANNOTATION: &str = "org.opencontainers.image.ref.name";
/// Marks manifests of BuildKit that describe another one and are no images.
const ATTESTATION_ANNOTATION: &str = "vnd.docker.reference.type";

/// The images that `index.json` names. Of an image for many platforms it is the one for `platform`.
pub(crate) fn oci_images(archive: &Archive, platform: &Platform) -> Result<Vec<ArchivedImage>, ArchiveError> {
    let index = read_index(archive, INDEX, INDEX, None)?;
    let mut images: BTreeMap<usize, ArchivedImage> = BTreeMap::new();
    let mut seen: BTreeMap<image::BlobDigest, usize> = BTreeMap::new();
    let mut tags = 0;
    for group in same_name(&index.manifests) {
        let chosen = if group.len() == 1 { group[0] } else { choose(&group, platform)? };
        let Some((descriptor, manifest)) = resolve(archive, chosen, INDEX, platform, 0)? else { continue };
        let at = *seen.entry(descriptor.digest).or_insert(images.len());
        let image = images.entry(at).or_insert_with(|| image(&descriptor, &manifest));
        if let Some(name) = name_of(chosen)? {
            tags += 1;
            if tags > TAGS_MAX {
                return Err(ArchiveError::TooMany { what: "tags", max: TAGS_MAX });
            }
            image.tags.push(name);
        }
    }
    Ok(images.into_values().collect())
}

/// Which image of a layout is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutName {
    /// The one with this tag.
    Tag(String),
    /// The one whose manifest, or index of manifests, has this digest.
    Digest(image::BlobDigest),
}

impl std::fmt::Display for LayoutName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => f.write_str(tag),
            Self::Digest(digest) => write!(f, "{digest}"),
        }
    }
}

/// The tag that is meant when nothing is said.
const DEFAULT_TAG: &str = "latest";

/// The image of a layout that is meant. Without a name it is `latest`, or the only one that there is.
pub(crate) fn oci_image(
    archive: &Archive,
    name: Option<&LayoutName>,
    platform: &Platform,
) -> Result<ArchivedImage, ArchiveError> {
    let index = read_index(archive, INDEX, INDEX, None)?;
    let images: Vec<&Descriptor> = index.manifests.iter().filter(|descriptor| is_image(descriptor)).collect();
    let named = |wanted: &LayoutName| -> Vec<&Descriptor> {
        images.iter().copied().filter(|descriptor| is_named(descriptor, wanted)).collect()
    };
    let mut chosen = named(name.unwrap_or(&LayoutName::Tag(DEFAULT_TAG.to_owned())));
    if let (None, true, [only]) = (name, chosen.is_empty(), images.as_slice()) {
        chosen.push(only);
    }
    let missing = || ArchiveError::NoImage {
        name: name.map_or_else(|| DEFAULT_TAG.to_owned(), LayoutName::to_string),
        found: images.iter().map(|descriptor| shown(descriptor)).collect(),
    };
    if chosen.is_empty() {
        return Err(missing());
    }
    let (descriptor, manifest) =
        resolve(archive, choose(&chosen, platform)?, INDEX, platform, 0)?.ok_or_else(missing)?;
    Ok(image(&descriptor, &manifest))
}

fn is_named(descriptor: &Descriptor, wanted: &LayoutName) -> bool {
    let annotation = |name: &str| descriptor.annotations.get(name).map(String::as_str);
    match wanted {
        LayoutName::Digest(digest) => descriptor.digest == *digest,
        LayoutName::Tag(tag) => {
            let full = annotation(NAME_ANNOTATION).and_then(|name| name.parse::<Reference>().ok());
            annotation(REF_NAME_ANNOTATION) == Some(tag) || full.is_some_and(|full| full.tag() == Some(tag))
        }
    }
}

/// How an image of a layout can be named.
fn shown(descriptor: &Descriptor) -> String {
    let name =
        descriptor.annotations.get(REF_NAME_ANNOTATION).or(descriptor.annotations.get(NAME_ANNOTATION));
    name.cloned().unwrap_or_else(|| descriptor.digest.to_string())
}

/// Descriptors that carry the same name describe one image for several platforms.
fn same_name(descriptors: &[Descriptor]) -> Vec<Vec<&Descriptor>> {
    let mut groups: Vec<Vec<&Descriptor>> = Vec::new();
    let mut named: BTreeMap<&str, usize> = BTreeMap::new();
    for descriptor in descriptors.iter().filter(|descriptor| is_image(descriptor)) {
        match descriptor.annotations.get(NAME_ANNOTATION).or(descriptor.annotations.get(REF_NAME_ANNOTATION))
        {
            Some(name) if named.contains_key(name.as_str()) => groups[named[name.as_str()]].push(descriptor),
            name => {
                name.map(|name| named.insert(name, groups.len()));
                groups.push(vec![descriptor]);
            }
        }
    }
    groups
}

fn is_image(descriptor: &Descriptor) -> bool {
    let known =
        matches!(MediaType::parse(&descriptor.media_type), Some(MediaType::Manifest | MediaType::Index));
    known && !is_attestation(descriptor)
}

/// Whether a manifest of an index describes another one and is no image.
pub(crate) fn is_attestation(descriptor: &Descriptor) -> bool {
    let is_of_nothing = |platform: &Platform| platform.os == "unknown" && platform.architecture == "unknown";
    descriptor.annotations.contains_key(ATTESTATION_ANNOTATION)
        || descriptor.platform.as_ref().is_some_and(is_of_nothing)
}

fn choose<'a>(descriptors: &[&'a Descriptor], wanted: &Platform) -> Result<&'a Descriptor, ArchiveError> {
    let matches = |descriptor: &&&Descriptor| {
        descriptor.platform.as_ref().is_none_or(|own| own.normalized() == *wanted)
    };
    descriptors.iter().find(matches).copied().ok_or_else(|| ArchiveError::NoPlatform {
        wanted: wanted.to_string(),
        found: descriptors
            .iter()
            .filter_map(|descriptor| descriptor.platform.as_ref())
            .map(Platform::to_string)
            .collect(),
    })
}

/// The manifest behind a descriptor, through the indexes before it; none for an index without images.
fn resolve(
    archive: &Archive,
    descriptor: &Descriptor,
    named_by: &str,
    platform: &Platform,
    depth: usize,
) -> Result<Option<(Descriptor, Manifest)>, ArchiveError> {
    if depth > INDEX_DEPTH_MAX {
        return Err(ArchiveError::TooMany { what: "indexes within indexes", max: INDEX_DEPTH_MAX as u64 });
    }
    let name = blob_name(descriptor);
    if MediaType::parse(&descriptor.media_type) == Some(MediaType::Manifest) {
        let manifest = read_manifest(archive, &name, named_by, descriptor)?;
        return Ok(Some((descriptor.clone(), manifest)));
    }
    let index = read_index(archive, &name, named_by, Some(descriptor))?;
    let images: Vec<&Descriptor> = index.manifests.iter().filter(|descriptor| is_image(descriptor)).collect();
    if images.is_empty() {
        return Ok(None);
    }
    resolve(archive, choose(&images, platform)?, &name, platform, depth + 1)
}

/// What tells a manifest from an index, whatever the descriptor says.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    media_type: Option<String>,
    manifests: Option<serde_json::Value>,
    config: Option<serde_json::Value>,
    layers: Option<serde_json::Value>,
    fs_layers: Option<serde_json::Value>,
}

/// Reads a document and refuses one that could be taken for something else than its descriptor says.
fn read_document(
    archive: &Archive,
    name: &str,
    named_by: &str,
    descriptor: Option<&Descriptor>,
    is_index: bool,
) -> Result<Vec<u8>, ArchiveError> {
    if let Some(descriptor) = descriptor {
        archive.check_size(name, named_by, descriptor.size_bytes)?;
    }
    let bytes = archive.document(name, named_by)?;
    let json = |source| ArchiveError::Json { name: name.to_owned(), source };
    let shape: Shape = serde_json::from_slice(&bytes).map_err(json)?;
    let other_kind = match is_index {
        true => shape.config.is_some() || shape.layers.is_some(),
        false => shape.manifests.is_some(),
    };
    let other_type = match (&shape.media_type, descriptor) {
        (Some(own), Some(descriptor)) => *own != descriptor.media_type,
        _ => false,
    };
    if other_kind || other_type || shape.fs_layers.is_some() {
        return Err(ArchiveError::Confused { name: name.to_owned() });
    }
    Ok(bytes)
}

fn read_index(
    archive: &Archive,
    name: &str,
    named_by: &str,
    descriptor: Option<&Descriptor>,
) -> Result<Index, ArchiveError> {
    let bytes = read_document(archive, name, named_by, descriptor, true)?;
    let index =
        Index::parse(&bytes).map_err(|source| ArchiveError::Manifest { name: name.to_owned(), source })?;
    if index.manifests.len() as u64 > MANIFESTS_MAX {
        return Err(ArchiveError::TooMany { what: "manifests", max: MANIFESTS_MAX });
    }
    Ok(index)
}

fn read_manifest(
    archive: &Archive,
    name: &str,
    named_by: &str,
    descriptor: &Descriptor,
) -> Result<Manifest, ArchiveError> {
    let bytes = read_document(archive, name, named_by, Some(descriptor), false)?;
    Manifest::parse(&bytes).map_err(|source| ArchiveError::Manifest { name: name.to_owned(), source })
}

fn image(descriptor: &Descriptor, manifest: &Manifest) -> ArchivedImage {
    let blob = |descriptor: &Descriptor| ArchivedBlob {
        name: blob_name(descriptor),
        expected: Some((descriptor.digest, descriptor.size_bytes)),
    };
    ArchivedImage {
        named_by: blob_name(descriptor),
        config: blob(&manifest.config),
        layers: manifest.layers.iter().map(blob).collect(),
        tags: Vec::new(),
    }
}

/// The member that holds a blob. The digest is a value, never a text of the archive.
fn blob_name(descriptor: &Descriptor) -> String {
    format!("blobs/sha256/{}", descriptor.digest.0.hex())
}

/// The full name of an image; a tag alone names nothing.
fn name_of(descriptor: &Descriptor) -> Result<Option<Reference>, ArchiveError> {
    if let Some(name) = descriptor.annotations.get(NAME_ANNOTATION) {
        return parse_tag(INDEX, name.clone()).map(Some);
    }
    match descriptor.annotations.get(REF_NAME_ANNOTATION) {
        Some(name) if name.contains(['/', ':']) => parse_tag(INDEX, name.clone()).map(Some),
        _ => Ok(None),
    }
}
