//! Commits of git repositories.

use cache::LayerId;
use graph::{GitSource, Vertex, VertexId};
use image::Digest;

use super::BuildWorker;
use super::http::explain;
use crate::BuildError;
use crate::fetch::{self, Commit, FetchError};

/// Which commit it is. The server is asked, unless the source says it.
pub(super) async fn identify(
    worker: &BuildWorker,
    id: VertexId,
    vertex: &Vertex,
    source: &GitSource,
) -> Result<Digest, BuildError> {
    if fetch::named_commit(source).is_none() {
        worker.step(id).into_iter().for_each(|step| worker.steps.start(step));
    }
    let commit = resolve(worker, source).await.map_err(|error| explain(worker, vertex, error))?;
    let identity = commit.identity();
    worker.commits.lock().expect("no holder of the lock panics").insert(id, commit);
    Ok(identity)
}

async fn resolve(worker: &BuildWorker, source: &GitSource) -> Result<Commit, FetchError> {
    let access = worker.access.git(source).await?;
    fetch::resolve(&worker.store, &access, source).await
}

/// The layer with the files.
pub(super) async fn execute(
    worker: &BuildWorker,
    id: VertexId,
    vertex: &Vertex,
    source: &GitSource,
) -> Result<LayerId, BuildError> {
    let commit = worker.commits.lock().expect("no holder of the lock panics").get(&id).cloned();
    let commit = commit.expect("a source is identified before it is made");
    let fetched = async {
        let access = worker.access.git(source).await?;
        Ok(fetch::layer(&worker.store, &access, source, &commit).await?.layer)
    };
    fetched.await.map_err(|error| explain(worker, vertex, error))
}
