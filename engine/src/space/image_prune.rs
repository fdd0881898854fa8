//! Removes images that nobody needs.

use std::collections::BTreeSet;

use cache::{PruneOptions, Store};
use image::ImageId;

use super::usage::disk_usage;
use crate::images::{Filters, ImageError, ImageUser, RemoveOptions, Removed, list, remove_unused};

/// What was removed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PrunedImages {
    /// Names and images.
    pub removed: Vec<Removed>,
    /// What became free: layers that the build cache has as well are not among it.
    pub bytes: u64,
}

/// Keeps the whole cache: only what nothing points at goes.
const ONLY_ORPHANS: PruneOptions = PruneOptions {
    until_age_s: None,
    max_used_bytes: Some(u64::MAX),
    reserved_bytes: None,
    min_free_bytes: None,
    ids: Vec::new(),
    kinds: Vec::new(),
    all: false,
};

/// The filters have to be those of Docker's `image prune`: `dangling`, `label`, `label!`, `until`.
///
/// Images that containers stand on stay. `note` is told what is gone of each image.
pub(super) fn prune(
    store: &Store,
    all: bool,
    filters: &Filters,
    users: impl Fn(&ImageId) -> Vec<ImageUser>,
    note: impl Fn(&ImageId, &[Removed]),
) -> Result<PrunedImages, ImageError> {
    let others = [
        ("reference", !filters.references.is_empty()),
        ("before", !filters.before.is_empty()),
        ("since", !filters.since.is_empty()),
    ];
    if let Some((name, _)) = others.into_iter().find(|(_, is_given)| *is_given) {
        let expected = "one of dangling, label, label!, until where images are pruned";
        return Err(ImageError::FilterValue { name, value: "...".to_owned(), expected });
    }
    let all = all || filters.dangling == Some(false);
    // What this finds would be in use by us, so other openings look, each until it has seen.
    let usage = disk_usage(&Store::open(store.root())?)?;
    let in_use: BTreeSet<_> = usage.images.into_iter().filter(|it| it.is_in_use).map(|it| it.id).collect();
    let listing = Store::open(store.root())?;
    let filters = Filters { dangling: None, ..filters.clone() };
    let mut pruned = PrunedImages::default();
    for image in list(&listing, &filters)? {
        let is_kept = in_use.contains(&image.id) || !users(&image.id).is_empty();
        if is_kept || !(all || image.references.is_empty()) {
            continue;
        }
        match remove_unused(&listing, &image.id.to_string(), RemoveOptions { force: true }, &users) {
            Ok(removed) => {
                note(&image.id, &removed);
                pruned.removed.extend(removed);
            }
            // Somebody else was faster.
            Err(ImageError::NoSuchImage { .. } | ImageError::InUse { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    drop(listing);
    pruned.bytes = Store::open(store.root())?.prune(&ONLY_ORPHANS)?.bytes;
    Ok(pruned)
}
