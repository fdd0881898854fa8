//! What others than its own facts tell of a layer: the names of diff ids, and the configs of images.

use std::collections::{BTreeMap, BTreeSet};

use image::{BlobDigest, DiffId, Digest, ImageConfig};

use crate::{LayerId, Store, StoreError, StoredImage};

/// The largest config that is read: as large as the record of its image may be.
const CONFIG_BYTES_MAX: u64 = 16 << 20;

/// A diff id, and the time to which later ones were set in the tar that has it.
pub(super) type Told = (Option<i64>, DiffId);

/// Whatever the store says about the diff ids of layers outside of the layers.
pub(super) fn told_of_layers(store: &Store) -> Result<BTreeMap<LayerId, BTreeSet<Told>>, StoreError> {
    let mut told: BTreeMap<_, BTreeSet<Told>> = BTreeMap::new();
    for name in store.disk().names("diff-ids")? {
        let Ok(diff_id) = Digest::from_hex(&name).map(DiffId) else { continue };
        if let Some(layer) = store.named_layer(&diff_id)? {
            told.entry(layer).or_default().insert((None, diff_id));
        }
    }
    for id in store.image_ids()? {
        // Not `Store::image`, which takes leases: what we look at must be ours to take away.
        let Some((_, image)) = store.load_image(&id)? else { continue };
        for (layer, diff_id) in image.layers.iter().zip(diff_ids(store, &image)?) {
            told.entry(*layer).or_default().extend([(None, diff_id), (image.clamp_mtime, diff_id)]);
        }
    }
    Ok(told)
}

/// The diff ids of an image; none when its config is damaged, which is another fault.
fn diff_ids(store: &Store, image: &StoredImage) -> Result<Vec<DiffId>, StoreError> {
    let bytes = store.read_blob(&BlobDigest(image.id.0), CONFIG_BYTES_MAX)?.unwrap_or_default();
    let config: Option<ImageConfig> = serde_json::from_slice(&bytes).ok();
    Ok(config
        .map(|config| config.rootfs.diff_ids)
        .filter(|all| all.len() == image.layers.len())
        .unwrap_or_default())
}
