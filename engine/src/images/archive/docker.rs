//! `manifest.json` and `repositories`: what Docker archives say about their images.

use std::collections::BTreeMap;

use image::Reference;
use serde::{Deserialize, Serialize};

use super::limits::{MANIFESTS_MAX, TAGS_MAX};
use super::{Archive, ArchiveError, ArchivedBlob, ArchivedImage, LayoutName};

pub(crate) const MANIFEST: &str = "manifest.json";
pub(crate) const REPOSITORIES: &str = "repositories";

/// One image in `manifest.json`.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

/// The images that `manifest.json` names.
pub(crate) fn docker_images(archive: &Archive) -> Result<Vec<ArchivedImage>, ArchiveError> {
    let bytes = archive.document(MANIFEST, MANIFEST)?;
    let json = |source| ArchiveError::Json { name: MANIFEST.to_owned(), source };
    let items: Vec<Item> = serde_json::from_slice(&bytes).map_err(json)?;
    if items.len() as u64 > MANIFESTS_MAX {
        return Err(ArchiveError::TooMany { what: "images", max: MANIFESTS_MAX });
    }
    items.into_iter().map(image).collect()
}

/// The image that has a name, or the only one.
pub(crate) fn docker_image(
    archive: &Archive,
    name: Option<&LayoutName>,
) -> Result<ArchivedImage, ArchiveError> {
    let mut images = docker_images(archive)?;
    let found = || images.iter().flat_map(|image| &image.tags).map(Reference::familiar).collect();
    let is_wanted = |image: &ArchivedImage| match name {
        Some(LayoutName::Tag(wanted)) => {
            image.tags.iter().any(|tag| tag.to_string() == *wanted || tag.familiar() == *wanted)
        }
        Some(LayoutName::Digest(_)) => false,
        None => images.len() == 1,
    };
    match images.iter().position(is_wanted) {
        Some(at) => Ok(images.swap_remove(at)),
        None => Err(ArchiveError::NoImage {
            name: name.map_or_else(|| "latest".to_owned(), LayoutName::to_string),
            found: found(),
        }),
    }
}

fn image(item: Item) -> Result<ArchivedImage, ArchiveError> {
    let tags = item.repo_tags.unwrap_or_default();
    if tags.len() as u64 > TAGS_MAX {
        return Err(ArchiveError::TooMany { what: "tags", max: TAGS_MAX });
    }
    let tags = tags.into_iter().map(|tag| parse_tag(MANIFEST, tag)).collect::<Result<_, _>>()?;
    Ok(ArchivedImage {
        named_by: MANIFEST.to_owned(),
        config: ArchivedBlob::unverified(item.config),
        layers: item.layers.unwrap_or_default().into_iter().map(ArchivedBlob::unverified).collect(),
        tags,
    })
}

pub(super) fn parse_tag(name: &str, tag: String) -> Result<Reference, ArchiveError> {
    tag.parse().map_err(|source| ArchiveError::Tag { name: name.to_owned(), tag, source })
}

/// `manifest.json` of images given as config member, names and layer members.
pub(crate) fn manifest_json<'a>(
    images: impl IntoIterator<Item = (String, &'a [Reference], Vec<String>)>,
) -> Vec<u8> {
    let items: Vec<Item> = images
        .into_iter()
        .map(|(config, references, layers)| {
            let tags: Vec<String> = references.iter().map(Reference::familiar).collect();
            // Docker writes `null` for an image without names.
            Item { config, repo_tags: (!tags.is_empty()).then_some(tags), layers: Some(layers) }
        })
        .collect();
    serde_json::to_vec(&items).expect("strings can be written as JSON")
}

/// `repositories`, which clients before Docker 1.10 read: the top layer of every name.
pub(crate) fn repositories_json<'a>(images: impl IntoIterator<Item = (&'a [Reference], String)>) -> Vec<u8> {
    let mut repositories: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    for (references, top) in images {
        for reference in references {
            if let Some(tag) = reference.tag() {
                let tags = repositories.entry(reference.familiar_name()).or_default();
                tags.insert(tag.to_owned(), top.clone());
            }
        }
    }
    serde_json::to_vec(&repositories).expect("strings can be written as JSON")
}
