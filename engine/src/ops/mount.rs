//! `RUN --mount`: what is mounted into a step beside its root.

use std::path::{Path, PathBuf};
use std::time::Duration;

use ::image::{Digest, Hasher};
use cache::{CacheMount, Ownership, Sharing};
use graph::{CacheSharing, MountSource, Run, Vertex};

use super::{BuildWorker, Output, secret};
use crate::blocking::blocking;
use crate::{AgentError, BuildError};

/// How long to wait before asking again for a cache mount that somebody else uses.
const CACHE_MOUNT_POLL: Duration = Duration::from_millis(10);
/// Mode of a tmpfs mount's root directory, as in BuildKit.
const TMPFS_MODE: u32 = 0o1777;

/// The mounts of one step. Cache mounts stay taken until this is dropped.
pub(super) struct Mounts {
    specs: Vec<executor::Mount>,
    /// Who answers behind the sockets, in their order.
    agents: Vec<PathBuf>,
    _caches: Vec<CacheMount>,
}

/// One mount, and what belongs to it.
struct Mounted {
    spec: executor::Mount,
    agent: Option<PathBuf>,
    cache: Option<CacheMount>,
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
        let mut order: Vec<usize> = (0..run.mounts.len()).collect();
        order.sort_by_key(|index| cache_id(&run.mounts[*index]).map(str::to_owned));
        let mut mounted: Vec<Option<Mounted>> = run.mounts.iter().map(|_| None).collect();
        for index in order {
            mounted[index] = lower(worker, vertex, &run.mounts[index], inputs).await?;
        }
        let mut mounts = Self { specs: Vec::new(), agents: Vec::new(), _caches: Vec::new() };
        for Mounted { spec, agent, cache } in mounted.into_iter().flatten() {
            mounts.specs.push(spec);
            mounts.agents.extend(agent);
            mounts._caches.extend(cache);
        }
        Ok(mounts)
    }

    /// What the sandbox mounts, in the order of the instruction.
    pub(super) fn specs(&self) -> Vec<executor::Mount> {
        self.specs.clone()
    }

    /// Who answers behind the sockets, in the order of the instruction.
    pub(super) fn agents(&self) -> &[PathBuf] {
        &self.agents
    }
}

fn cache_id(mount: &graph::Mount) -> Option<&str> {
    match &mount.source {
        MountSource::Cache { id, .. } => Some(id),
        MountSource::Input { .. }
        | MountSource::Tmpfs { .. }
        | MountSource::Secret { .. }
        | MountSource::Agent { .. } => None,
    }
}

/// Nothing for a secret or an agent that is missing and may be.
async fn lower(
    worker: &BuildWorker,
    vertex: &Vertex,
    mount: &graph::Mount,
    inputs: &[Output],
) -> Result<Option<Mounted>, BuildError> {
    let target = mount.target.clone();
    let plain = |spec| Mounted { spec, agent: None, cache: None };
    Ok(Some(match &mount.source {
        MountSource::Input { input, path, read_only } => {
            let lowers = lowers(worker, &inputs[*input])?;
            let (subpath, read_only) = (path.clone(), *read_only);
            plain(executor::Mount::Overlay { lowers, subpath, target, read_only })
        }
        MountSource::Tmpfs { size_bytes } => {
            plain(executor::Mount::Tmpfs { target, size_bytes: *size_bytes, mode: TMPFS_MODE })
        }
        MountSource::Cache { id, sharing, owner: (uid, gid), mode, read_only } => {
            let ownership = Ownership { uid: *uid, gid: *gid, mode: *mode };
            let cache = take_cache(worker, id, *sharing, ownership).await?;
            let (source, read_only) = (cache.path().to_owned(), *read_only);
            let spec = executor::Mount::Bind { source, subpath: String::new(), target, read_only };
            Mounted { cache: Some(cache), ..plain(spec) }
        }
        MountSource::Secret { id, owner: (uid, gid), mode, required } => {
            let Some(secret) = secret::find(worker, vertex, id, *required)? else { return Ok(None) };
            let content = secret.bytes().to_vec().into();
            plain(executor::Mount::File { target, content, mode: *mode, uid: *uid, gid: *gid })
        }
        MountSource::Agent { id, owner: (uid, gid), mode, required } => {
            let Some(agent) = find_agent(worker, vertex, id, *required).await? else { return Ok(None) };
            let spec = executor::Mount::Socket { target, mode: *mode, uid: *uid, gid: *gid };
            Mounted { agent: Some(agent), ..plain(spec) }
        }
    }))
}

/// Where the agent listens that a step asks for. `None` when the user gave none, which is an error if the step needs it.
async fn find_agent(
    worker: &BuildWorker,
    vertex: &Vertex,
    id: &str,
    required: bool,
) -> Result<Option<PathBuf>, BuildError> {
    let unusable = |source| {
        let rendered = worker.render(vertex, &format!("this step needs the ssh agent `{id}`"), None);
        BuildError::Agent { id: id.to_owned(), rendered, source }
    };
    match worker.agents.socket(id).await.map_err(unusable)? {
        None if required => Err(unusable(AgentError::Missing)),
        found => Ok(found.map(Path::to_owned)),
    }
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
fn lowers(worker: &BuildWorker, output: &Output) -> Result<Vec<PathBuf>, BuildError> {
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
