//! Brings a cache mount that is not here yet.

use std::sync::Arc;

use cache::{LayerId, Store};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use image::Descriptor;

use super::LISTING_BYTES_MAX;
use super::restore::Restore;
use crate::blocking::blocking;
use crate::remote_cache::away::claim;
use crate::remote_cache::catalogue::MountEntry;
use crate::remote_cache::passing::Passing;
use crate::remote_cache::{Depot, RemoteCacheError};

/// Packs that are on their way at the same time.
const PACKS_AT_ONCE_MAX: usize = 4;

/// The files of a mount as a layer, which the mount begins as a copy of. Everything is verified: the packs as blobs,
/// each chunk, and the tar as a whole.
pub(in crate::remote_cache) async fn restore(
    store: &Arc<Store>,
    depot: &Depot,
    entry: &MountEntry,
) -> Result<LayerId, RemoteCacheError> {
    if let Some(here) = store.layer_by_diff_id(&entry.content)? {
        return Ok(here.id());
    }
    // Two steps at a time fetch and unpack once.
    let _claim = claim(store, &entry.content).await?;
    if let Some(here) = store.layer_by_diff_id(&entry.content)? {
        return Ok(here.id());
    }
    let passing = Passing::new(store);
    let blobs = entry.blobs();
    let fetched: Vec<_> = blobs.iter().map(|blob| passing.bring(depot, blob)).collect();
    stream::iter(fetched).buffer_unordered(PACKS_AT_ONCE_MAX).try_collect::<Vec<()>>().await?;
    unpack(store, entry).await
}

async fn unpack(store: &Arc<Store>, entry: &MountEntry) -> Result<LayerId, RemoteCacheError> {
    let (store, entry) = (store.clone(), entry.clone());
    let unpack = move || {
        let bytes = store.read_blob(&entry.listing.digest, LISTING_BYTES_MAX)?.unwrap_or_default();
        let listing = entry.listing_in(&bytes)?;
        let open = |pack: &Descriptor| {
            let digest = pack.digest;
            store.open_blob(&digest)?.ok_or(cache::StoreError::NoBlob { digest })
        };
        let packs = entry.packs().iter().map(open).collect::<Result<Vec<_>, _>>()?;
        let mut tar = Restore::new(listing, packs).map_err(|source| cache::StoreError::Input { source })?;
        let (layer, _) = store.unpack_layer(&mut tar, Some(entry.content))?;
        Ok(layer.id())
    };
    blocking(unpack).await
}
