//! Makes an image of a solved graph: its config, its record, its names, its exports.

use std::sync::Arc;
use std::time::Duration;

use cache::{LayerId, StoredImage};
use frontend::Lowered;
use graph::Op;
use image::{Descriptor, DiffId, ImageConfig, ImageId, canonical_json};
use jiff::Timestamp;
use solver::Solved;

use crate::blocking::blocking;
use crate::images::{OnTransfer, PushRequest, Stage};
use crate::ops::{BuildWorker, Layers, Output};
use crate::space::with_room;
use crate::{BuildError, BuildRequest, Engine, ImageOutput, Output as Destined};

const NANOSECONDS: i64 = 1_000_000_000;
/// Digests that take longer are of large layers.
const WRITE_BACK_AFTER: Duration = Duration::from_millis(20);

/// Makes the image, and exports it; with the manifest that it has in a registry.
pub(super) async fn finish(
    engine: &Engine,
    worker: &BuildWorker,
    request: &BuildRequest,
    lowered: Lowered,
    solved: &Solved<Output>,
) -> Result<(ImageId, Option<Descriptor>), BuildError> {
    let target = worker.step(lowered.target);
    let step = worker.steps.begin_after("exporting to image", target.into_iter().collect());
    wait_for_digests(worker, !request.tags.is_empty()).await;
    let layers = solved.target.output.layers().expect("a target has layers").clone();
    let (store, clamp) = (worker.store.clone(), worker.source_date_epoch);
    let base = base_diff_ids(worker, &lowered);
    let ids = layers.ids.clone();
    let digests = move || with_room(&store, || diff_ids(&store, &ids, base.clone(), clamp));
    let (diff_ids, size_bytes) = blocking(digests).await?;

    let config = config(worker, lowered, solved, diff_ids);
    let id = store_image(worker, request, &config, &layers, size_bytes).await?;
    worker.steps.complete(step);
    let mut manifest = None;
    for output in &request.outputs {
        manifest = export(engine, worker, request, id, output).await?.or(manifest);
    }
    Ok((id, manifest))
}

/// Waits for the digests that are still being computed. If that takes long there is much to write as well:
/// the disk then works at the same time, and what is promised later waits less.
async fn wait_for_digests(worker: &BuildWorker, is_promised: bool) {
    let tasks = std::mem::take(&mut *worker.hashing.lock().expect("no holder of the lock panics"));
    // A task that failed is done again where its digest is needed, and its error is told there.
    let mut all = futures_util::future::join_all(tasks);
    if tokio::time::timeout(WRITE_BACK_AFTER, &mut all).await.is_ok() {
        return;
    }
    let store = worker.store.clone();
    let write_back = blocking(move || if is_promised { store.write_back() } else { Ok(()) });
    let (_, written) = futures_util::future::join(all, write_back).await;
    if let Err(error) = written {
        tracing::debug!(%error, "cannot write back ahead of time");
    }
}

async fn export(
    engine: &Engine,
    worker: &BuildWorker,
    request: &BuildRequest,
    id: ImageId,
    output: &Destined,
) -> Result<Option<Descriptor>, BuildError> {
    let step = worker.steps.begin(match output {
        Destined::Image(image) => return push(engine, worker, request, id, image).await,
        Destined::Oci(_) => "exporting to oci image format",
        Destined::Docker(_) => "exporting to docker image format",
        Destined::Tar(_) => "exporting to client tarball",
        Destined::Local(_) => "exporting to client directory",
    });
    let (store, steps) = (worker.store.clone(), worker.steps.clone());
    let (tags, output) = (request.tags.clone(), output.clone());
    let exported = blocking(move || {
        let on_progress = |part: &str, current, total| steps.progressed(step, part, current, total);
        crate::images::export(&store, &id, &tags, &output, &on_progress)
    })
    .await;
    match &exported {
        Ok(()) => worker.steps.complete(step),
        Err(error) => worker.steps.fail(step, error.to_string()),
    }
    exported?;
    Ok(None)
}

/// Gives the image the names of an output, and pushes it under each of them where that is asked for.
async fn push(
    engine: &Engine,
    worker: &BuildWorker,
    request: &BuildRequest,
    id: ImageId,
    output: &ImageOutput,
) -> Result<Option<Descriptor>, BuildError> {
    for name in &output.names {
        worker.store.tag(name, &id)?;
    }
    worker.store.make_durable()?;
    let Some(push_as) = output.push else { return Ok(None) };
    let names = if output.names.is_empty() { &request.tags } else { &output.names };
    let mut manifest = None;
    for reference in names {
        let step = worker.steps.begin(&format!("pushing {}", reference.familiar()));
        let steps = worker.steps.clone();
        let on_transfer: OnTransfer = Arc::new(move |transfer| {
            if let Stage::Pushing { current, total } = transfer.stage {
                steps.progressed(step, &format!("pushing {}", transfer.layer), current, Some(total));
            }
        });
        let request = PushRequest { reference: reference.clone(), push_as, form: output.form.clone() };
        match engine.push(&request, &on_transfer).await {
            Ok(pushed) => {
                worker.steps.complete(step);
                manifest = Some(pushed.manifest);
            }
            Err(error) => {
                worker.steps.fail(step, error.to_string());
                return Err(error.into());
            }
        }
    }
    Ok(manifest)
}

/// The layers of the image that the target stands on keep the digests that its config gives them.
fn base_diff_ids(worker: &BuildWorker, lowered: &Lowered) -> Vec<DiffId> {
    let mut vertex = lowered.graph.vertex(lowered.target);
    while let Some(continued) = vertex.inputs.first() {
        vertex = lowered.graph.vertex(*continued);
    }
    match &vertex.op {
        Op::Image(source) => worker.bases.get(source).config.rootfs.diff_ids.clone(),
        Op::Scratch | Op::Context(_) | Op::Http(_) | Op::Git(_) | Op::Run(_) | Op::File(_) => Vec::new(),
    }
}

fn diff_ids(
    store: &cache::Store,
    ids: &[LayerId],
    mut known: Vec<DiffId>,
    clamp: Option<i64>,
) -> Result<(Vec<DiffId>, u64), cache::StoreError> {
    let mut size_bytes = 0;
    for (index, id) in ids.iter().enumerate() {
        let layer = store.layer(id)?.ok_or(cache::StoreError::NoLayer { id: *id })?;
        // Both are in one file.
        let (diff_id, size) = match index < known.len() {
            true => (None, layer.size_bytes()?),
            false => layer.diff_id_and_size(clamp).map(|(diff_id, size)| (Some(diff_id), size))?,
        };
        size_bytes += size;
        known.extend(diff_id);
    }
    Ok((known, size_bytes))
}

/// Fills in what only the finished build knows: layers and times.
///
/// Times are those of the layers, so that a build in which everything was cached gives the same image.
fn config(
    worker: &BuildWorker,
    lowered: Lowered,
    solved: &Solved<Output>,
    diff_ids: Vec<DiffId>,
) -> ImageConfig {
    let mut config = lowered.config;
    config.rootfs.diff_ids = diff_ids;
    let epoch = worker.source_date_epoch.map(|seconds| seconds.saturating_mul(NANOSECONDS));
    let first_new = config.history.len() - lowered.history_vertices.len();
    let (inherited, new) = config.history.split_at_mut(first_new);
    let mut last = inherited.last().and_then(|entry| entry.created.clone()).or(config.created.take());
    for (entry, vertex) in new.iter_mut().zip(&lowered.history_vertices) {
        let made = vertex
            .and_then(|id| solved.vertices[id.index()].as_ref())
            .and_then(|settled| settled.output.layers())
            .map(|layers| rfc3339(layers.created_unix_ns));
        last = epoch.map(rfc3339).or(made).or(last);
        entry.created.clone_from(&last);
    }
    config.created = last.or_else(|| Some(rfc3339(epoch.unwrap_or(0))));
    config
}

fn rfc3339(unix_ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(unix_ns)).map_or_else(|_| String::new(), |time| time.to_string())
}

async fn store_image(
    worker: &BuildWorker,
    request: &BuildRequest,
    config: &ImageConfig,
    layers: &Layers,
    size_bytes: u64,
) -> Result<ImageId, BuildError> {
    let store = worker.store.clone();
    let json = canonical_json(config);
    let id = ImageId(with_room(&store, || store.put_blob(&json))?.0);
    let created = config.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
    let image = StoredImage {
        id,
        layers: layers.ids.to_vec(),
        clamp_mtime: worker.source_date_epoch,
        created_unix_s: created.map_or(0, Timestamp::as_second),
        size_bytes,
        manifest: None,
        labels: config.config.labels.clone(),
    };
    let (tags, engine_store) = (request.tags.clone(), store.clone());
    let store_image = move || {
        let is_new = |tag| store.resolve(tag).map(|old| old != Some(id));
        let any_new = tags.iter().map(is_new).collect::<Result<Vec<_>, _>>()?.contains(&true);
        // An image that is there may be of a build that gave it no name, and so made no promise.
        if any_new || store.image(&id)?.is_none() {
            store.put_image(&image)?;
        }
        for tag in &tags {
            store.tag(tag, &id)?;
        }
        // A name promises that the image survives a power cut; without one it is as good as its cache. Does
        // nothing when nothing was written.
        if !tags.is_empty() {
            store.make_durable()?;
        }
        Ok(id)
    };
    Ok(blocking(move || with_room(&engine_store, store_image)).await?)
}
