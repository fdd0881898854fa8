//! Lists images.

use std::collections::BTreeMap;

use cache::{Store, StoredImage};
use image::{BlobDigest, Digest, ImageId, Reference};

use super::{Filters, ImageError};

/// An image in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageSummary {
    /// Digest of its config.
    pub id: ImageId,
    /// Its names, in order; with a `reference` filter only those that match.
    pub references: Vec<Reference>,
    /// When it was made, seconds since 1970.
    pub created_unix_s: i64,
    /// The files of all its layers together.
    pub size_bytes: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its manifest, when it came with one.
    pub manifest: Option<BlobDigest>,
}

impl ImageSummary {
    /// Whether no tag names it.
    pub fn is_dangling(&self) -> bool {
        self.references.iter().all(|reference| reference.tag().is_none())
    }

    /// Its manifest digest, where a name with a digest or the manifest itself says it.
    pub fn digest(&self) -> Option<Digest> {
        let named = self.references.iter().find_map(Reference::digest).copied();
        named.or(self.manifest.map(|manifest| manifest.0))
    }
}

/// The images that pass the filters, newest first.
///
/// Images here have no parents and there are no intermediate ones, so that Docker's `--all` lists the same.
pub fn list(store: &Store, filters: &Filters) -> Result<Vec<ImageSummary>, ImageError> {
    let period = filters.period(store)?;
    let mut names: BTreeMap<ImageId, Vec<Reference>> = BTreeMap::new();
    for (reference, id) in store.tags()? {
        names.entry(id).or_default().push(reference);
    }
    let mut summaries = Vec::new();
    for image in store.images()?.into_iter().filter(|image| period.contains(image)) {
        let mut references = names.remove(&image.id).unwrap_or_default();
        references.sort_unstable();
        summaries.extend(summary(&image, references, filters));
    }
    summaries.sort_by(|a, b| b.created_unix_s.cmp(&a.created_unix_s).then(a.id.cmp(&b.id)));
    Ok(summaries)
}

fn summary(image: &StoredImage, mut references: Vec<Reference>, filters: &Filters) -> Option<ImageSummary> {
    if !filters.references.is_empty() {
        let matches = |reference: &Reference| {
            filters.references.iter().any(|pattern| pattern.matches_reference(reference))
        };
        references.retain(matches);
        if references.is_empty() {
            return None;
        }
    }
    let summary = ImageSummary {
        id: image.id,
        references,
        created_unix_s: image.created_unix_s,
        size_bytes: image.size_bytes,
        labels: image.labels.clone(),
        manifest: image.manifest,
    };
    let label_holds = |(key, value): &(String, Option<String>)| {
        summary.labels.get(key).is_some_and(|own| value.as_ref().is_none_or(|value| value == own))
    };
    let passes = filters.labels.iter().all(label_holds)
        && !filters.other_labels.iter().any(label_holds)
        && filters.dangling.is_none_or(|dangling| dangling == summary.is_dangling());
    passes.then_some(summary)
}
