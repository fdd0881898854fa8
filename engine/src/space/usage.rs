//! Adds up what images and the build cache take.

use std::collections::{BTreeMap, BTreeSet};

use cache::{Store, UsageItem, UsageKind};
use image::{ImageId, Reference};

use super::cache_filter::kind_name;
use crate::events;
use crate::images::{Filters, ImageError, ImageSummary};
use crate::outlet;

/// What a store takes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DiskUsage {
    /// Images, newest first.
    pub images: Vec<ImageUsage>,
    /// The layers that images have, each counted once, with the blobs that are kept for them.
    pub images_bytes: u64,
    /// Everything else: layers and what is beside them. Layers of images are among them when the cache knows
    /// the step that made them.
    pub cache: Vec<UsageItem>,
    /// What the store itself needs to know of all that: names, digests, what is durable. Also what it tells of what has happened.
    pub names_bytes: u64,
}

/// What an image takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageUsage {
    /// Digest of its config.
    pub id: ImageId,
    /// Its names.
    pub references: Vec<Reference>,
    /// When it was made, seconds since 1970.
    pub created_unix_s: i64,
    /// All its layers.
    pub size_bytes: u64,
    /// Those of its layers that other images have as well.
    pub shared_bytes: u64,
    /// Whether a running container or build uses it.
    pub is_in_use: bool,
}

impl DiskUsage {
    /// What would be free without the images that nobody uses.
    pub fn images_reclaimable_bytes(&self) -> u64 {
        let used = self.images.iter().filter(|image| image.is_in_use);
        let used_bytes = used.map(|image| image.size_bytes.saturating_sub(image.shared_bytes)).sum();
        self.images_bytes.saturating_sub(used_bytes)
    }

    /// The build cache, without the layers that images have as well.
    pub fn cache_bytes(&self) -> u64 {
        self.cache.iter().filter(|item| item.images == 0).map(UsageItem::total_bytes).sum()
    }

    /// Everything that is in the store: the bytes of all of its files.
    pub fn total_bytes(&self) -> u64 {
        self.images_bytes + self.cache_bytes() + self.names_bytes
    }

    /// What would be free without the build cache.
    pub fn cache_reclaimable_bytes(&self) -> u64 {
        let free = self.cache.iter().filter(|item| item.images == 0 && !item.is_in_use);
        free.map(UsageItem::total_bytes).sum()
    }

    /// The kind of an item in BuildKit's words.
    pub fn kind_name(kind: UsageKind) -> &'static str {
        kind_name(kind)
    }
}

/// Looks at everything without taking a lease first: what we look at ourselves is not in use.
pub(super) fn disk_usage(store: &Store) -> Result<DiskUsage, ImageError> {
    let detail = store.usage_detail()?;
    let layers: BTreeMap<&str, &UsageItem> =
        detail.items.iter().filter(|it| it.kind == UsageKind::Layer).map(|it| (it.id.as_str(), it)).collect();
    let mut usage = DiskUsage::default();
    for summary in crate::images::list(store, &Filters::default())? {
        usage.images.push(image_usage(store, summary, &layers)?);
    }
    let of_images = layers.values().filter(|layer| layer.images > 0);
    usage.images_bytes =
        of_images.map(|layer| layer.total_bytes()).sum::<u64>() + detail.image_blobs.size_bytes;
    let beside = events::size_bytes(store.root()) + outlet::size_bytes(store.root());
    usage.names_bytes = detail.names.size_bytes + beside;
    let is_cache = |item: &UsageItem| item.kind != UsageKind::Layer || item.records > 0 || item.images == 0;
    usage.cache = detail.items.iter().filter(|item| is_cache(item)).cloned().collect();
    let kept = [
        ("kept blobs", detail.kept_blobs),
        ("stray blobs", detail.stray_blobs),
        ("cache records", detail.records),
    ];
    usage.cache.extend(kept.into_iter().filter(|(_, amount)| amount.count > 0).map(|(what, amount)| {
        UsageItem {
            kind: UsageKind::Record,
            id: what.replace(' ', "-"),
            size_bytes: amount.size_bytes,
            kept_bytes: 0,
            created_unix_s: None,
            used_unix_s: None,
            images: 0,
            records: amount.count,
            is_in_use: false,
            parent: None,
            description: what.to_owned(),
        }
    }));
    Ok(usage)
}

fn image_usage(
    store: &Store,
    summary: ImageSummary,
    layers: &BTreeMap<&str, &UsageItem>,
) -> Result<ImageUsage, ImageError> {
    let stored = crate::images::stored(store, &summary.id)?;
    let ids: BTreeSet<String> = stored.layers.iter().map(ToString::to_string).collect();
    let own: Vec<_> = ids.iter().filter_map(|id| layers.get(id.as_str())).collect();
    Ok(ImageUsage {
        id: summary.id,
        references: summary.references,
        created_unix_s: summary.created_unix_s,
        size_bytes: summary.size_bytes,
        shared_bytes: own.iter().filter(|layer| layer.images > 1).map(|layer| layer.size_bytes).sum(),
        is_in_use: !own.is_empty() && own.iter().all(|layer| layer.is_in_use),
    })
}
