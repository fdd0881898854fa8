//! `RUN --mount`: what is mounted into a step beside its root.

use std::path::{Path, PathBuf};

use ::image::{Digest, Hasher};
use cache::tree::TreeError;
use cache::{CacheMount, CacheMountError, Scaffold};
use graph::{CacheBase, MountSource, Run, Vertex};

use super::{BuildWorker, Output, cache_mount, secret};
use crate::blocking::blocking;
use crate::{AgentError, BuildError};

/// Mode of a tmpfs mount's root directory, as in BuildKit.
const TMPFS_MODE: u32 = 0o1777;

/// What an image without layers has in it.
const EMPTY: Scaffold<'static> = Scaffold { name: "empty-1", directories: &[], files: &[] };

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
        MountSource::Tmpfs { size_bytes, read_only } => {
            let (size_bytes, read_only) = (*size_bytes, *read_only);
            plain(executor::Mount::Tmpfs { target, size_bytes, mode: TMPFS_MODE, read_only })
        }
        MountSource::Cache { path, read_only, .. } => {
            let cache = cache_mount::take(worker, vertex, &mount.source, inputs).await?;
            if path != "/" {
                cache.need(Path::new(path)).map_err(|error| unusable(worker, vertex, error))?;
            }
            let (source, read_only) = (cache.path().to_owned(), *read_only);
            let spec = executor::Mount::Bind {
                source,
                subpath: path.clone(),
                target,
                read_only,
                binding: executor::Binding::default(),
            };
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

/// The directories of a chain of layers as overlayfs wants them, topmost first.
fn lowers(worker: &BuildWorker, output: &Output) -> Result<Vec<PathBuf>, BuildError> {
    let layers = output.layers().expect("what is mounted has layers");
    let mut lowers = worker.store.lower_paths(&layers.ids)?;
    if lowers.is_empty() {
        lowers.push(worker.store.scaffold(&EMPTY)?);
    }
    Ok(lowers)
}

/// Digests what is mounted of other inputs, or what caches begin with: the whole trees beneath the paths.
pub(super) async fn fingerprint(
    worker: &BuildWorker,
    vertex: &Vertex,
    run: &Run,
    inputs: &[Option<Output>],
) -> Result<Digest, BuildError> {
    let mut hasher = Hasher::new("mounted/v1");
    for mount in &run.mounts {
        let (input, path) = match &mount.source {
            MountSource::Input { input, path, .. } => (input, path),
            MountSource::Cache { base: Some(CacheBase { input, path }), .. } => (input, path),
            _ => continue,
        };
        let output = inputs[*input].as_ref().expect("what is partly read is known");
        hasher = hasher.field(&mount.target, tree_digest(worker, vertex, output, path).await?.0);
    }
    Ok(hasher.finish())
}

/// Digests the whole tree beneath a path.
pub(super) async fn tree_digest(
    worker: &BuildWorker,
    vertex: &Vertex,
    output: &Output,
    path: &str,
) -> Result<Digest, BuildError> {
    let layers = output.layers().expect("what is mounted has layers");
    let (store, ids, wanted) = (worker.store.clone(), layers.ids.clone(), PathBuf::from(path));
    let digest = blocking(move || {
        let view = store.view(&ids)?;
        Ok::<_, CacheMountError>(cache::tree::digest(view.root(), &wanted)?)
    })
    .await;
    digest.map_err(|error| unusable(worker, vertex, error))
}

/// What the Dockerfile names and is not there is told with its line.
pub(super) fn unusable(worker: &BuildWorker, vertex: &Vertex, error: CacheMountError) -> BuildError {
    match error {
        CacheMountError::Store(error) => error.into(),
        CacheMountError::Seed(
            error @ (TreeError::NotFound { .. }
            | TreeError::NoDirectory { .. }
            | TreeError::TooManySymlinks { .. }),
        ) => {
            let message = error.to_string();
            BuildError::Copy { rendered: worker.render(vertex, &message, None), message }
        }
        CacheMountError::Seed(source) => BuildError::Tree { step: vertex.label.name.clone(), source },
    }
}
