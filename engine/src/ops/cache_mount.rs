//! `RUN --mount=type=cache`: a directory that outlives the step.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::image::Hasher;
use cache::{Beginning, CacheMount, LayerId, Seed, Sharing};
use graph::{CacheBase, CacheSharing, MountSource, Vertex};

use super::mount::{tree_digest, unusable};
use super::{BuildWorker, Output};
use crate::BuildError;
use crate::blocking::blocking;

/// How long to wait before asking again for a cache mount that somebody else uses.
const POLL: Duration = Duration::from_millis(10);

/// All files of a layer.
fn whole(layer: LayerId) -> Seed {
    Seed { layers: Arc::from([layer]), path: PathBuf::from("/") }
}

/// Takes a cache mount, and waits for it while somebody else uses it in a way that excludes us.
///
/// # Panics
///
/// When the mount is no cache.
pub(super) async fn take(
    worker: &BuildWorker,
    vertex: &Vertex,
    source: &MountSource,
    inputs: &[Output],
) -> Result<CacheMount, BuildError> {
    let MountSource::Cache { id, base, path: _, sharing, uid, gid, mode, read_only: _ } = source else {
        unreachable!("only caches are taken")
    };
    let (name, seed) = match base {
        None => (id.clone(), None),
        Some(CacheBase { input, path }) => {
            let layers = inputs[*input].layers().expect("what is mounted has layers").ids.clone();
            // Another beginning is another cache, as in BuildKit.
            let content = tree_digest(worker, vertex, &inputs[*input], path).await?;
            let name = Hasher::new("cache-mount/v1").field("id", id).field("base", content.0).finish();
            (name.to_string(), Some(Seed { layers, path: PathBuf::from(path) }))
        }
    };
    let is_here = worker.store.has_cache_mount(&name)?;
    // What it was elsewhere goes on from the same beginning.
    let elsewhere = if is_here { None } else { worker.imports.mount(&worker.store, &name).await };
    let seed = elsewhere.map(whole).or(seed);
    worker.used_mounts.lock().expect("no holder of the lock panics").insert(name.clone());
    let sharing = match sharing {
        CacheSharing::Shared => Sharing::Shared,
        CacheSharing::Private => Sharing::Private,
        CacheSharing::Locked => Sharing::Locked,
    };
    let beginning = Beginning { seed, uid: *uid, gid: *gid, mode: *mode };
    loop {
        let (store, name, beginning) = (worker.store.clone(), name.clone(), beginning.clone());
        let taken = blocking(move || store.try_cache_mount(&name, sharing, &beginning)).await;
        match taken.map_err(|error| unusable(worker, vertex, error))? {
            Some(cache) => return Ok(cache),
            None => tokio::time::sleep(POLL).await,
        }
    }
}
