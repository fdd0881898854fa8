//! Makes an image of a solved graph: its config, its record, its names, its exports.

use std::sync::Arc;
use std::time::Duration;

use cache::{LayerId, Store, StoreError, StoredImage};
use frontend::Lowered;
use graph::{Op, VertexId};
use image::{Descriptor, DiffId, ImageConfig, ImageId, Reference, canonical_json};
use jiff::Timestamp;
use solver::Solved;

use crate::blocking::blocking;
use crate::images::{OnTransfer, PushRequest, Stage};
use crate::ops::{BuildWorker, Output};
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
    let layers = solved.target.output.layers().expect("a target has layers");
    let made = Made {
        store: worker.store.clone(),
        clamp_mtime: worker.source_date_epoch,
        known_diff_ids: base_diff_ids(worker, &lowered),
        created_unix_ns: created(&lowered, solved),
        config: lowered.config,
        layers: layers.ids.to_vec(),
        tags: request.tags.clone(),
    };
    let id = blocking(move || with_room(&made.store, || made.put())).await?;
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
    store: &Store,
    ids: &[LayerId],
    mut known: Vec<DiffId>,
    clamp: Option<i64>,
) -> Result<(Vec<DiffId>, u64), StoreError> {
    let mut size_bytes = 0;
    for (index, id) in ids.iter().enumerate() {
        let layer = store.layer(id)?.ok_or(StoreError::NoLayer { id: *id })?;
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

/// When the layers of the new entries of the history were made, where they have one.
fn created(lowered: &Lowered, solved: &Solved<Output>) -> Vec<Option<i64>> {
    let created = |vertex: &Option<VertexId>| {
        let settled = solved.vertices[vertex.as_ref()?.index()].as_ref()?;
        settled.output.layers().map(|layers| layers.created_unix_ns)
    };
    lowered.history_vertices.iter().map(created).collect()
}

/// An image whose layers are all there.
struct Made {
    store: Arc<Store>,
    clamp_mtime: Option<i64>,
    /// Of the layers that the image stands on.
    known_diff_ids: Vec<DiffId>,
    /// Of the last entries of the history.
    created_unix_ns: Vec<Option<i64>>,
    config: ImageConfig,
    layers: Vec<LayerId>,
    tags: Vec<Reference>,
}

impl Made {
    /// Stores the image under its names.
    fn put(&self) -> Result<ImageId, StoreError> {
        let Self { store, clamp_mtime, known_diff_ids, created_unix_ns, config, layers, tags } = self;
        let clamp_mtime = *clamp_mtime;
        let (diff_ids, size_bytes) = diff_ids(store, layers, known_diff_ids.clone(), clamp_mtime)?;
        let config = complete(config.clone(), diff_ids, created_unix_ns, clamp_mtime);
        let id = ImageId(store.put_blob(&canonical_json(&config))?.0);
        let created = config.created.as_deref().and_then(|text| text.parse::<Timestamp>().ok());
        let image = StoredImage {
            id,
            layers: layers.clone(),
            clamp_mtime,
            created_unix_s: created.map_or(0, Timestamp::as_second),
            size_bytes,
            manifest: None,
            labels: config.config.labels,
        };
        let is_new = |tag| store.resolve(tag).map(|old| old != Some(id));
        let any_new = tags.iter().map(is_new).collect::<Result<Vec<_>, _>>()?.contains(&true);
        // An image that is there may be of a build that gave it no name, and so made no promise.
        if any_new || store.image(&id)?.is_none() {
            store.put_image(&image)?;
        }
        for tag in tags {
            store.tag(tag, &id)?;
        }
        // A name promises that the image survives a power cut; without one it is as good as its cache. Does
        // nothing when nothing was written.
        if !tags.is_empty() {
            store.make_durable()?;
        }
        Ok(id)
    }
}

/// Fills in what only the finished build knows: layers and times.
///
/// Times are those of the layers, so that a build in which everything was cached gives the same image.
fn complete(
    mut config: ImageConfig,
    diff_ids: Vec<DiffId>,
    created_unix_ns: &[Option<i64>],
    epoch_unix_s: Option<i64>,
) -> ImageConfig {
    config.rootfs.diff_ids = diff_ids;
    let epoch = epoch_unix_s.map(|seconds| seconds.saturating_mul(NANOSECONDS));
    let first_new = config.history.len() - created_unix_ns.len();
    let (inherited, new) = config.history.split_at_mut(first_new);
    let mut last = inherited.last().and_then(|entry| entry.created.clone()).or(config.created.take());
    for (entry, made) in new.iter_mut().zip(created_unix_ns) {
        last = epoch.or(*made).map(rfc3339).or(last);
        entry.created.clone_from(&last);
    }
    config.created = last.or_else(|| Some(rfc3339(epoch.unwrap_or(0))));
    config
}

fn rfc3339(unix_ns: i64) -> String {
    Timestamp::from_nanosecond(i128::from(unix_ns)).map_or_else(|_| String::new(), |time| time.to_string())
}
