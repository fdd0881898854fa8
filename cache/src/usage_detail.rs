//! What is in the store one by one, with its last use and who uses it.

use std::collections::HashSet;

use image::Digest;

use crate::byte_lock::Place;
use crate::gc::{Census, Claims, Keeping, NANOSECONDS};
use crate::{Amount, LayerId, Store, StoreError};

/// Kinds of things that take space.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum UsageKind {
    /// A layer.
    Layer,
    /// A key record that stands for itself, with a kept blob if it names one.
    Record,
    /// A directory of `RUN --mount=type=cache`.
    CacheMount,
    /// The stat index of a build context, or the files that a client of the daemon has sent.
    Context,
    /// The logs of a build.
    Log,
}

/// Something that takes space.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageItem {
    /// What it is.
    pub kind: UsageKind,
    /// Its name in the store.
    pub id: String,
    /// Sum of the sizes of its files.
    pub size_bytes: u64,
    /// For a layer, the size of the blob that it came in, where that is kept.
    pub kept_bytes: u64,
    /// When it was made, where that is known; seconds since 1970.
    pub created_unix_s: Option<i64>,
    /// When it was used last, within an hour; seconds since 1970. None for a layer without a record.
    pub used_unix_s: Option<i64>,
    /// Images that stand on it.
    pub images: u64,
    /// Records that have it.
    pub records: u64,
    /// Whether a running build or container uses it.
    pub is_in_use: bool,
    /// For a layer, the one below it.
    pub parent: Option<LayerId>,
    /// The step that made it, or what else people know it by.
    pub description: String,
}

impl UsageItem {
    /// All that becomes free with it.
    pub fn total_bytes(&self) -> u64 {
        self.size_bytes + self.kept_bytes
    }
}

/// What is in a store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UsageDetail {
    /// Layers, cache mounts, contexts and logs.
    pub items: Vec<UsageItem>,
    /// All blobs: configs, manifests, kept layers.
    pub blobs: Amount,
    /// All key records.
    pub records: Amount,
    /// Images.
    pub images: u64,
    /// What of the blobs nothing points at but a record: compressed layers that are kept.
    pub kept_blobs: Amount,
    /// Blobs that images are made of, beside their layers: configs and manifests.
    pub image_blobs: Amount,
    /// Blobs that nothing points at.
    pub stray_blobs: Amount,
    /// Small files of the store itself: what images are called and made of, what is known of layers, what is durable.
    pub names: Amount,
}

impl Store {
    /// Looks at everything in the store. Takes no lease, so it keeps nobody from removing what it tells of.
    pub fn usage_detail(&self) -> Result<UsageDetail, StoreError> {
        let census = Census::take(self, Keeping::Images)?;
        let mut detail = UsageDetail { images: census.images, ..UsageDetail::default() };
        let of_layers: HashSet<Digest> = census.layers.values().filter_map(|layer| layer.blob).collect();
        let of_records: HashSet<Digest> =
            census.records.iter().flat_map(|it| it.blobs.iter().copied()).collect();
        for (digest, size_bytes) in &census.blobs {
            detail.blobs.add(*size_bytes);
            match digest {
                digest if census.image_blobs.contains(digest) => detail.image_blobs.add(*size_bytes),
                // Counted with their layers.
                digest if of_layers.contains(digest) => {}
                digest if of_records.contains(digest) => detail.kept_blobs.add(*size_bytes),
                _ => detail.stray_blobs.add(*size_bytes),
            }
        }
        for record in &census.records {
            detail.records.add(record.size_bytes);
        }
        detail.names = census.names(self)?;
        self.add_layers(&census, &mut detail)?;
        for (kind, description, seen) in census
            .mounts
            .iter()
            .map(|seen| (UsageKind::CacheMount, "cache mount", seen))
            .chain(census.contexts.iter().map(|seen| (UsageKind::Context, "index of a build context", seen)))
            .chain(census.clients.iter().map(|seen| (UsageKind::Context, "files of a client", seen)))
            .chain(census.logs.iter().map(|seen| (UsageKind::Log, "logs of a build", seen)))
        {
            detail.items.push(UsageItem {
                kind,
                id: seen.id(),
                size_bytes: seen.size_bytes,
                kept_bytes: 0,
                created_unix_s: None,
                used_unix_s: Some(seen.used_unix_ns.div_euclid(NANOSECONDS)),
                images: 0,
                records: 0,
                is_in_use: false,
                parent: None,
                description: description.to_owned(),
            });
        }
        Ok(detail)
    }

    fn add_layers(&self, census: &Census, detail: &mut UsageDetail) -> Result<(), StoreError> {
        let claims = Claims::new(self.disk())?;
        let uses = census.layer_uses();
        for (id, layer) in &census.layers {
            let layer_use = uses.get(id);
            // The step that made it is the one whose record ends with it.
            let numbers = layer_use.map_or(&[][..], |it| &it.records);
            let records = || numbers.iter().map(|number| &census.records[*number]);
            let own = records().find(|record| record.layers.last() == Some(id));
            let chain = own.or_else(|| records().next()).map_or(&[][..], |record| &record.layers);
            let below = chain.iter().position(|layer| layer == id).and_then(|at| at.checked_sub(1));
            detail.items.push(UsageItem {
                kind: UsageKind::Layer,
                id: id.to_string(),
                size_bytes: layer.size_bytes,
                kept_bytes: census.kept_bytes(id),
                created_unix_s: own.map(|record| record.created_unix_s),
                used_unix_s: layer_use.map(|it| it.used_unix_ns.div_euclid(NANOSECONDS)),
                images: census.image_layers.get(id).copied().unwrap_or(0),
                records: numbers.len() as u64,
                is_in_use: census.container_layers.contains(id) || claims.is_used(Place::of_layer(id))?,
                parent: below.map(|at| chain[at]),
                description: own.map(|record| record.description.clone()).unwrap_or_default(),
            });
        }
        Ok(())
    }
}
