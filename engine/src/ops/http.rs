//! Files of HTTP servers.

use cache::LayerId;
use graph::{HttpSource, Vertex, VertexId};
use image::Digest;

use super::BuildWorker;
use crate::fetch::{self, FetchError, RemoteFile};
use crate::{BuildError, StepId};

/// Who the file is. The server is asked, unless the checksum says it.
pub(super) async fn identify(
    worker: &BuildWorker,
    id: VertexId,
    vertex: &Vertex,
    source: &HttpSource,
) -> Result<Digest, BuildError> {
    let note = |content: Digest| {
        worker.contents.lock().expect("no holder of the lock panics").insert(id, content);
    };
    if let Some(identity) = fetch::pinned_identity(source) {
        source.checksum.into_iter().for_each(note);
        return Ok(identity);
    }
    let step = worker.step(id);
    step.into_iter().for_each(|step| worker.steps.start(step));
    let file = load(worker, vertex, source, step).await?;
    let identity = file.identity();
    note(file.content);
    worker.fetched.lock().expect("no holder of the lock panics").insert(id, file.layer);
    Ok(identity)
}

/// The layer with the file.
pub(super) async fn execute(
    worker: &BuildWorker,
    id: VertexId,
    vertex: &Vertex,
    source: &HttpSource,
) -> Result<LayerId, BuildError> {
    let fetched = worker.fetched.lock().expect("no holder of the lock panics").remove(&id);
    match fetched {
        Some(layer) => Ok(layer),
        None => Ok(load(worker, vertex, source, worker.step(id)).await?.layer),
    }
}

async fn load(
    worker: &BuildWorker,
    vertex: &Vertex,
    source: &HttpSource,
    step: Option<StepId>,
) -> Result<RemoteFile, BuildError> {
    let on_bytes = |count, total| {
        step.into_iter().for_each(|step| worker.steps.progressed(step, "downloading:", count, total));
    };
    let file = fetch::file(&worker.store, &worker.access, source, &on_bytes).await;
    file.map_err(|source| explain(worker, vertex, source))
}

/// Points at the line that asks for it.
pub(super) fn explain(worker: &BuildWorker, vertex: &Vertex, source: FetchError) -> BuildError {
    let rendered = worker.render(vertex, &source.to_string(), None);
    BuildError::Fetch { rendered, source }
}
