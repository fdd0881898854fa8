//! `RUN --mount`: what is mounted into a step beside its root.

use std::path::Path;
use std::time::Duration;

use ::image::{Digest, Hasher};
use cache::{CacheMount, Ownership, Sharing};
use graph::{CacheSharing, MountSource, Run, Vertex};

use super::{BuildWorker, Output, secret};
use crate::BuildError;
use crate::blocking::blocking;

/// How long to wait before asking again for a cache mount that somebody else uses.
const CACHE_MOUNT_POLL: Duration = Duration::from_millis(10);
/// Mode of a tmpfs mount's root directory, as in BuildKit.
const TMPFS_MODE: u32 = 0o1777;

/// The mounts of one step. Cache mounts stay taken until this is dropped.
pub(super) struct Mounts {
    specs: Vec<executor::Mount>,
    _caches: Vec<CacheMount>,
}

impl Mounts {
    /// Takes every cache mount, one after the other, in an order that is the same for all steps, so that no
    /// two steps wait for each other.
    pub(super) async fn new(
        worker: &BuildWorker,
        vertex: &Vertex,
        run: &Run,
        inputs: &[Output],
    ) -> Result<Self, BuildError> {
        let mut caches = Vec::new();
        let mut order: Vec<usize> = (0..run.mounts.len()).collect();
        order.sort_by_key(|index| cache_id(&run.mounts[*index]).map(str::to_owned));
        let mut specs = vec![None; run.mounts.len()];
        for index in order {
            let mount = &run.mounts[index];
            let (spec, cache) = lower(worker, vertex, mount, inputs).await?;
            specs[index] = spec;
            caches.extend(cache);
        }
        Ok(Self { specs: specs.into_iter().flatten().collect(), _caches: caches })
    }

    /// What the sandbox mounts, in the order of the instruction.
    pub(super) fn specs(&self) -> Vec<executor::Mount> {
        self.specs.clone()
    }
}

fn cache_id(mount: &graph::Mount) -> Option<&str> {
    match &mount.source {
        MountSource::Cache { id, .. } => Some(id),
        MountSource::Input { .. } | MountSource::Tmpfs { .. } | MountSource::Secret { .. } => None,
    }
}

/// What the sandbox mounts, nothing for a secret that is missing and may be; and the cache mount that it is.
async fn lower(
    worker: &BuildWorker,
    vertex: &Vertex,
    mount: &graph::Mount,
    inputs: &[Output],
) -> Result<(Option<executor::Mount>, Option<CacheMount>), BuildError> {
    let target = mount.target.clone();
    let spec = match &mount.source {
        MountSource::Input { input, path, read_only } => {
            let lowers = lowers(worker, &inputs[*input])?;
            let (subpath, read_only) = (path.clone(), *read_only);
            executor::Mount::Overlay { lowers, subpath, target, read_only }
        }
        MountSource::Tmpfs { size_bytes } => {
            executor::Mount::Tmpfs { target, size_bytes: *size_bytes, mode: TMPFS_MODE }
        }
        MountSource::Cache { id, sharing, owner: (uid, gid), mode, read_only } => {
            let ownership = Ownership { uid: *uid, gid: *gid, mode: *mode };
            let cache = take_cache(worker, id, *sharing, ownership).await?;
            let source = cache.path().to_owned();
            let spec =
                executor::Mount::Bind { source, subpath: String::new(), target, read_only: *read_only };
            return Ok((Some(spec), Some(cache)));
        }
        MountSource::Secret { id, owner: (uid, gid), mode, required } => {
            let Some(secret) = secret::find(worker, vertex, id, *required)? else { return Ok((None, None)) };
            let content = secret.bytes().to_vec().into();
            executor::Mount::File { target, content, mode: *mode, uid: *uid, gid: *gid }
        }
    };
    Ok((Some(spec), None))
}

async fn take_cache(
    worker: &BuildWorker,
    id: &str,
    sharing: CacheSharing,
    ownership: Ownership,
) -> Result<CacheMount, BuildError> {
    let sharing = match sharing {
        CacheSharing::Shared => Sharing::Shared,
        CacheSharing::Private => Sharing::Private,
        CacheSharing::Locked => Sharing::Locked,
    };
    loop {
        if let Some(cache) = worker.store.try_cache_mount(id, sharing, ownership)? {
            return Ok(cache);
        }
        tokio::time::sleep(CACHE_MOUNT_POLL).await;
    }
}

/// The directories of a chain of layers as overlayfs wants them, topmost first.
pub(super) fn lowers(worker: &BuildWorker, output: &Output) -> Result<Vec<std::path::PathBuf>, BuildError> {
    let layers = output.layers().expect("what is mounted has layers");
    Ok(worker.store.lower_paths(&layers.ids)?)
}

/// Digests what is mounted of other inputs: the whole trees beneath the mounted paths.
pub(super) async fn fingerprint(
    worker: &BuildWorker,
    vertex: &Vertex,
    run: &Run,
    inputs: &[Option<Output>],
) -> Result<Digest, BuildError> {
    let mut hasher = Hasher::new("mounted/v1");
    for mount in &run.mounts {
        let MountSource::Input { input, path, .. } = &mount.source else { continue };
        let layers = inputs[*input].as_ref().and_then(Output::layers).expect("mounted inputs are layers");
        let (store, ids, path) = (worker.store.clone(), layers.ids.clone(), path.clone());
        let step = vertex.label.name.clone();
        let digest = blocking(move || {
            let view = store.view(&ids)?;
            cache::tree::digest(view.root(), Path::new(&path))
                .map_err(|source| BuildError::Tree { step, source })
        })
        .await?;
        hasher = hasher.field(&mount.target, digest.0);
    }
    Ok(hasher.finish())
}
