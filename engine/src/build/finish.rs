//! Makes an image of a solved graph: its config, its record, its names, its exports.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use cache::{LayerId, Store, StoreError, StoredImage};
use futures_util::future::try_join;
use graph::{BuildGraph, Op, VertexId};
use image::{Descriptor, DiffId, ImageConfig, ImageId, Platform, Reference, canonical_json};
use jiff::Timestamp;
use solver::Solved;

use super::Built;
use super::export::export;
use super::planned::Target;
use super::squash::{Chain, Fewer};
use crate::blocking::blocking;
use crate::images::{FileTimes, ImageSet, LayerForm, Member, platforms, preferred};
use crate::ops::{BuildWorker, Output};
use crate::provenance::Told;
use crate::remote_cache::{Ended, INLINE_KEY, InlineCache, KeptLayers, Link};
use crate::space::with_room;
use crate::{BuildError, BuildRequest, Engine, Output as Destined};

const NANOSECONDS: i64 = 1_000_000_000;
/// Digests that take longer are of large layers.
const WRITE_BACK_AFTER: Duration = Duration::from_millis(20);

/// The images of a build.
pub(super) struct Images {
    /// One for each platform.
    pub(super) images: Vec<(Platform, ImageId)>,
    /// The same, as they leave.
    pub(super) set: ImageSet,
    /// Their records, of those that have all of their layers here.
    stored: Vec<StoredImage>,
    /// Whether none of them was there before.
    pub(super) are_new: bool,
    /// The only one, if its layers are not all here.
    pub(super) away: Option<Away>,
}

impl Images {
    /// The one that a name means.
    pub(super) fn named(&self) -> ImageId {
        let platforms: Vec<Platform> = self.images.iter().map(|(platform, _)| platform.clone()).collect();
        self.images[preferred(&platforms)].1
    }
}

/// What a build leaves.
pub(super) struct Finished {
    pub(super) images: Images,
    /// What was pushed, if anything was.
    pub(super) manifest: Option<Descriptor>,
}

/// Makes the images, and exports them.
pub(super) async fn finish(
    engine: &Engine,
    worker: &BuildWorker,
    request: &BuildRequest,
    (built, began): (Built, SystemTime),
    solved: &Solved<Output>,
) -> Result<Finished, BuildError> {
    let after = built.targets.iter().filter_map(|target| worker.step(target.vertex)).collect();
    let step = worker.steps.begin_after("exporting to image", after);
    wait_for_digests(worker, !request.tags.is_empty()).await;
    let targets: Vec<VertexId> = built.targets.iter().map(|target| target.vertex).collect();
    let (graph, mounts, wait) = (&built.graph, request.caches.mounts, request.caches.wait);
    let ended = Ended { worker, graph, targets: &targets, solved, mounts, wait };
    let mut images = put_images(worker, request, &built, &ended).await?;
    let (store, tags) = (worker.store.clone(), request.tags.clone());
    let (id, all) = (images.named(), images.images.clone());
    let stored = images.stored.clone();
    // A name is of an image that is here. Whoever asks for it by name gets it from the registry.
    if images.away.is_none() && !tags.is_empty() {
        blocking(move || with_room(&store, || name(&store, &tags, id, (&all, &stored)))).await?;
    }
    worker.steps.complete(step);
    attest(&mut images, worker, request, &built, began).await?;
    let outputs = async {
        let mut manifest = None;
        for output in &request.outputs {
            manifest = export(engine, worker, request, &images, output).await?.or(manifest);
        }
        Ok(manifest)
    };
    let caches = Box::pin(ended.export(&request.caches.exports, images.named()));
    let (manifest, ()) = try_join(Box::pin(outputs), caches).await?;
    Ok(Finished { images, manifest })
}

/// Adds what the user wants to have attested.
async fn attest(
    images: &mut Images,
    worker: &BuildWorker,
    request: &BuildRequest,
    built: &Built,
    began: SystemTime,
) -> Result<(), BuildError> {
    for (member, target) in images.set.members.iter_mut().zip(&built.targets) {
        if let Some(provenance) = &request.provenance {
            let told = Told { request, worker, graph: &built.graph, target: target.vertex, began };
            member.predicates.push(provenance.predicate(&told));
        }
        if request.sbom {
            let (store, id) = (worker.store.clone(), member.id);
            let listed = blocking(move || crate::sbom::predicate(&store, &id));
            let listed = worker.steps.during("[internal] list the packages of the image", listed);
            member.predicates.push(listed.await?);
        }
    }
    Ok(())
}

/// Whether somebody wants the files of the image: whoever wants it in the store, or in an archive. A registry may have
/// all of its layers already.
pub(super) fn needs_files(request: &BuildRequest) -> bool {
    let is_plain_push = |output: &Destined| match output {
        Destined::Image(image) => {
            image.push.is_some()
                && image.form.layers == LayerForm::default()
                && image.form.file_times == FileTimes::AsBuilt
        }
        Destined::Oci(_) | Destined::Docker(_) | Destined::Tar(_) | Destined::Local(_) => false,
    };
    let wants_image = request.caches.layers == KeptLayers::All && request.outputs.is_empty();
    let is_single = request.platforms.len() <= 1;
    let is_squashed = request.squash.is_some() || request.max_layers.is_some();
    wants_image || request.sbom || is_squashed || !is_single || !request.outputs.iter().all(is_plain_push)
}

/// The names under which images go to registries.
pub(super) fn pushed_names(request: &BuildRequest) -> Vec<Reference> {
    let pushed = request.outputs.iter().filter_map(|output| match output {
        Destined::Image(image) if image.push.is_some() => Some(&image.names),
        _ => None,
    });
    pushed.flat_map(|names| if names.is_empty() { &request.tags } else { names }).cloned().collect()
}

/// An image whose layers are not all here: it is in the store by its config alone.
pub(super) struct Away {
    pub(super) config: ImageConfig,
    /// The layers that its config names.
    pub(super) links: Arc<[Link]>,
}

/// Puts one image for each target into the store.
async fn put_images(
    worker: &BuildWorker,
    request: &BuildRequest,
    built: &Built,
    ended: &Ended<'_>,
) -> Result<Images, BuildError> {
    let solved = ended.solved;
    let (mut images, mut stored, mut are_new, mut away) = (Vec::new(), Vec::new(), true, None);
    for ((target, settled), fewer) in built.targets.iter().zip(&solved.targets).zip(&built.fewer) {
        let layers = settled.output.layers().map(|layers| layers.ids.to_vec());
        let time = settled.output.layers().map_or(0, |layers| layers.created_unix_ns);
        let links: Arc<[Link]> = settled.output.links().into();
        let is_here = layers.is_some();
        let mut made = Made {
            store: worker.store.clone(),
            clamp_mtime: worker.source_date_epoch,
            known_diff_ids: base_diff_ids(worker, &built.graph, target.vertex),
            created_unix_ns: created(target, solved),
            config: with_inline_cache(target, request, ended).await?,
            layers: layers.unwrap_or_default(),
            tags: request.tags.clone(),
        };
        let fewer = *fewer;
        let id = if is_here {
            let mut put = move || with_room(&made.store.clone(), || made.put_with(fewer, time));
            // Two small files, whose digests are there: shorter than the way to another thread.
            let (image, is_new) = if fewer.is_none() { put()? } else { blocking(put).await? };
            are_new &= is_new;
            stored.push(image);
            stored[stored.len() - 1].id
        } else {
            let config_of = links.clone();
            let (id, config) =
                blocking(move || with_room(&made.store, || made.put_config(&config_of))).await?;
            away = Some(Away { config, links });
            id
        };
        images.push((target.config.platform(), id));
    }
    let member = |(_, id): &(Platform, ImageId)| Member { id: *id, predicates: Vec::new() };
    let set = ImageSet { members: images.iter().map(member).collect() };
    Ok(Images { images, set, stored, are_new, away })
}

/// The config of an image, which says what its layers are the results of, if that is asked for.
async fn with_inline_cache(
    target: &Target,
    request: &BuildRequest,
    ended: &Ended<'_>,
) -> Result<ImageConfig, BuildError> {
    let mut config = target.config.clone();
    if request.caches.inline == InlineCache::Present {
        let own = Ended { targets: &[target.vertex], ..*ended };
        let failed = |source| BuildError::CacheExport { place: INLINE_KEY.to_owned(), source };
        for (key, value) in own.inline().await.map_err(failed)? {
            config.extra.insert(key.to_owned(), value);
        }
    }
    Ok(config)
}

/// Gives an image its names, durably.
fn name(
    store: &Store,
    tags: &[Reference],
    id: ImageId,
    (images, stored): (&[(Platform, ImageId)], &[StoredImage]),
) -> Result<(), StoreError> {
    let mut is_renamed = false;
    for tag in tags {
        is_renamed |= store.tag(tag, &id)? != Some(id);
        platforms::remember_set(store, tag, images)?;
    }
    // A build that wanted no image may have made the same ones, and forgotten them before they had this name.
    if is_renamed {
        for image in stored {
            if store.image(&image.id)?.is_none() {
                store.put_image(image)?;
            }
        }
    }
    // A name promises that the image survives a power cut; without one it is as good as its cache. Does
    // nothing when nothing was written.
    store.make_durable()
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

/// The layers of the image that the target stands on keep the digests that its config gives them.
fn base_diff_ids(worker: &BuildWorker, graph: &BuildGraph, target: VertexId) -> Vec<DiffId> {
    let mut vertex = graph.vertex(target);
    while let Some(continued) = vertex.inputs.first() {
        vertex = graph.vertex(*continued);
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
fn created(target: &Target, solved: &Solved<Output>) -> Vec<Option<i64>> {
    let created = |vertex: &Option<VertexId>| {
        let settled = solved.vertices[vertex.as_ref()?.index()].as_ref()?;
        settled.output.created_unix_ns()
    };
    target.history_vertices.iter().map(created).collect()
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
    /// The names that it will have.
    tags: Vec<Reference>,
}

impl Made {
    /// The same with fewer layers.
    fn put_with(&mut self, fewer: Fewer, created_unix_ns: i64) -> Result<(StoredImage, bool), StoreError> {
        let Self { store, layers, known_diff_ids, config, .. } = self;
        let store = store.clone();
        fewer.apply(&store, &mut Chain { layers, known_diff_ids, config }, created_unix_ns)?;
        self.put()
    }

    /// Stores the image, without a name. Returns whether it was not there.
    fn put(&self) -> Result<(StoredImage, bool), StoreError> {
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
        let is_missing = store.image(&id)?.is_none();
        if any_new || is_missing {
            store.put_image(&image)?;
        }
        Ok((image, is_missing))
    }
}

impl Made {
    /// Stores the config alone, for an image whose layers are not all here.
    fn put_config(&self, links: &[Link]) -> Result<(ImageId, ImageConfig), StoreError> {
        let Self { store, clamp_mtime, known_diff_ids, created_unix_ns, config, .. } = self;
        let mut diff_ids = known_diff_ids.clone();
        for link in &links[known_diff_ids.len()..] {
            diff_ids.push(match link {
                Link::Away(layer) => layer.diff_id,
                Link::Here(id) => {
                    let layer = store.layer(id)?.ok_or(StoreError::NoLayer { id: *id })?;
                    layer.diff_id(*clamp_mtime)?
                }
            });
        }
        let config = complete(config.clone(), diff_ids, created_unix_ns, *clamp_mtime);
        let id = ImageId(store.put_blob(&canonical_json(&config))?.0);
        Ok((id, config))
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
