//! A build from the Dockerfile's text to an image.

mod bases;
mod context;
mod dockerfile;
mod entitled;
mod epoch;
mod export;
mod finish;
mod given;
mod layouts;
mod planned;
pub mod questions;
mod squash;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use cache::tree::ContextMode;
use executor::Resources;
use frontend::ignore::Patterns;
use frontend::{Diagnostic, PlanOptions};
use graph::{BuildGraph, Op, VertexId};
use image::{ImageId, Platform};
use solver::{Event as SolverEvent, Origin, Solved};
use tokio::sync::Semaphore;

use crate::context::{ContextRoot, RemoteFiles};
use crate::fetch::Access;
use crate::images::FileTimes;
use crate::ops::{
    Ahead, BuildWorker, ContextSource, LookedInto, Output, RemainsOfSteps, STEPS_AT_ONCE_MAX, SourceText,
};
use crate::remote_cache::{CacheWait, Early, Imports, Trail};
use crate::report::{BuildReport, Ended, Reporting};
use crate::steps::Steps;
use crate::sweep::Sweep;
use crate::why::{BuildLog, Journal, Journaled};
use crate::{
    BuildError, BuildOutcome, BuildRequest, DockerfileSource, Engine, NamedContext, Progress, StepId,
};
pub use context::FetchedContext;
use dockerfile::Source;
use planned::{Planned, Planning};
use squash::Fewer;

/// The platform that images are for unless somebody says otherwise.
pub fn default_platform() -> Platform {
    Platform::host()
}

impl Engine {
    /// Builds an image from a Dockerfile, or one for each of several platforms.
    ///
    /// When it returns, the image is in the store, named and durable, and every output is written. Dropping
    /// the future stops every step; what was finished stays cached.
    pub async fn build(&self, request: BuildRequest, progress: Progress) -> Result<BuildOutcome, BuildError> {
        let began = SystemTime::now();
        let steps = Arc::new(Steps::new(progress));
        let request = self.provided_for_context(request).await?;
        let access = Access::new(&request);
        let context = self.context_root(&request, &access, &steps).await?;
        let fetched = self.remote_dockerfile(&request, &access, &steps).await?;
        let source = load_definition(&request, &context, fetched.as_deref(), &steps)?;
        let contexts = load_contexts(&request, context, &source, &steps)?;
        let platforms = platforms(&request);
        check_annotations(&request, &platforms)?;
        let planning = Planning {
            request: &request,
            source: &source,
            contexts: &contexts,
            access: &access,
            steps: &steps,
        };
        let planned = match &request.dockerfile {
            DockerfileSource::Graph(given) => self.take_graph(&planning, given).await?,
            _ => self.plan(&planning, &platforms).await?,
        };
        let Planned { graph, targets, devices, bases, epoch } = planned;
        let (request, access) = self.provided(request, access, &graph).await?;
        let wants_epoch =
            |output: &crate::Output| output.form().is_some_and(|form| form.file_times == FileTimes::Epoch);
        if epoch.is_none() && request.outputs.iter().any(wants_epoch) {
            return Err(BuildError::NoEpoch);
        }

        let fewer = targets.iter().map(|target| Fewer::new(&request, &graph, target));
        let fewer = fewer.collect::<Result<Vec<_>, _>>()?;

        let logs = self.store.root().join("logs").join(build_id());
        let step_of = announce(&graph, &steps);
        let journal = Journal::new(BuildLog::begin(&logs, &request, &platforms), &graph, &step_of)
            .explaining(request.explaining);
        let around = (bases.links(), epoch);
        let foreign = Arc::new(request.caches.foreign(&graph, &bases));
        let imports = Imports::new(self, &request.caches, &steps, &graph, &foreign, around);
        let vertices: Vec<VertexId> = targets.iter().map(|target| target.vertex).collect();
        let early = Early::new(self, &request.caches.exports, (&graph, &vertices), &request.secrets);
        let worker = BuildWorker {
            engine: self.clone(),
            store: self.store.clone(),
            step_of,
            steps,
            bases,
            contexts,
            opened: Mutex::new(Vec::new()),
            devices,
            secrets: request.secrets.clone(),
            agents: access.agents.clone(),
            access,
            source: SourceText { name: source.name.clone(), text: source.text.clone() },
            source_date_epoch: epoch,
            cached_since_unix_ns: cached_since_unix_ns(request.cache_ttl),
            logs,
            journal: Arc::new(journal),
            meter: Arc::default(),
            ahead: Ahead::new(self.store.root(), &graph),
            looked_into: LookedInto::new(&graph, &request.outputs),
            resources: resources(&request),
            commits: Mutex::new(BTreeMap::new()),
            fetched: Mutex::new(BTreeMap::new()),
            contents: Mutex::default(),
            sweep: Sweep::default(),
            remains: RemainsOfSteps::default(),
            slots: Semaphore::new(STEPS_AT_ONCE_MAX),
            hashing: Mutex::new(Vec::new()),
            imports,
            foreign,
            early,
            used_mounts: Mutex::default(),
            trail: Trail::default(),
        };
        let built = Built { graph, targets, fewer };
        let solved = built.solve_with_files(&worker, &request).await;
        crate::ops::remember(&worker).await;
        let finished = match solved {
            Ok(solved) => {
                let finished = finish::finish(self, &worker, &request, (built, began), &solved).await;
                finished.map(|finished| (finished, solved))
            }
            Err(error) => Err(error),
        };
        // Of a build that has failed nothing is kept.
        worker.early.settle(CacheWait::None).await;
        let result = finished.as_ref().map(|(finished, _)| finished.images.named());
        self.keep_and_report(&worker, &request, result, began);
        worker.remains.end().await;
        let (finished, solved) = finished?;
        if let Err(error) = self.store.note_uses() {
            tracing::warn!(%error, "cannot note the use of cache records");
        }
        let count = |wanted| solved.vertices.iter().flatten().filter(|it| it.origin == wanted).count();
        Ok(BuildOutcome {
            image: finished.images.named(),
            are_new: finished.images.are_new,
            images: finished.images.images,
            set: finished.images.set,
            tags: request.tags,
            manifest: finished.manifest,
            steps_cached: count(Origin::Cached),
            steps_run: count(Origin::Run),
        })
    }

    /// Keeps what explains the build, and reports it where that is asked for.
    fn keep_and_report(
        &self,
        worker: &BuildWorker,
        request: &BuildRequest,
        result: Result<ImageId, &BuildError>,
        began: SystemTime,
    ) {
        let Journaled { log, vertices, has_run } = worker.journal.finish(result.ok());
        if request.reporting == Reporting::On {
            let report =
                BuildReport::new(self, worker, &Ended { log: &log, vertices: &vertices, result, began });
            worker.steps.report(report);
        }
        match has_run {
            true => self.remember_build(&log),
            false => crate::expect::was_in_vain(self.store.root()),
        }
    }
}

fn load_definition(
    request: &BuildRequest,
    context: &ContextRoot,
    fetched: Option<&str>,
    steps: &Steps,
) -> Result<Source, BuildError> {
    if let DockerfileSource::Graph(_) = request.dockerfile {
        return dockerfile::read(request, context, fetched);
    }
    let step = steps.begin("[internal] load build definition from Dockerfile");
    match dockerfile::read(request, context, fetched) {
        Ok(source) => {
            let size = source.text.len() as u64;
            steps.progressed(step, "transferring dockerfile:", size, Some(size));
            steps.complete(step);
            Ok(source)
        }
        Err(error) => {
            steps.fail(step, error.to_string());
            Err(error)
        }
    }
}

/// The main context and the named ones that are directories, each with what it hides.
fn load_contexts(
    request: &BuildRequest,
    main: ContextRoot,
    source: &Source,
    steps: &Steps,
) -> Result<BTreeMap<String, ContextSource>, BuildError> {
    let is_given = matches!(request.dockerfile, DockerfileSource::Graph(_));
    let step = (!is_given).then(|| steps.begin("[internal] load .dockerignore"));
    let main = (graph::ContextSource::MAIN, main, Some(source));
    let named = request.named_contexts.iter().filter_map(|(name, context)| match context {
        NamedContext::Directory(path) => Some((name.as_str(), ContextRoot::own(path.clone()), None)),
        NamedContext::Client(files) => Some((name.as_str(), ContextRoot::promised(files.clone()), None)),
        NamedContext::Image(_)
        | NamedContext::Scratch
        | NamedContext::Built(_)
        | NamedContext::Remote(_)
        | NamedContext::Stage(_)
        | NamedContext::Layout { .. } => None,
    });
    let mut contexts = BTreeMap::new();
    for (name, root, beside) in std::iter::once(main).chain(named) {
        match load_context(root, beside, request.context_mode) {
            Ok(context) => drop(contexts.insert(name.to_lowercase(), context)),
            Err(error) => {
                step.into_iter().for_each(|step| steps.fail(step, error.to_string()));
                return Err(error);
            }
        }
    }
    step.into_iter().for_each(|step| steps.complete(step));
    Ok(contexts)
}

/// An ignore file says which of the user's own files take part. Files from elsewhere have been sent already, and
/// all of them do, as in BuildKit.
fn load_context(
    root: ContextRoot,
    beside: Option<&Source>,
    mode: ContextMode,
) -> Result<ContextSource, BuildError> {
    let file = match root.of_client() {
        Some(files) => files.ignore.clone(),
        None if root.is_own() => {
            dockerfile::check_directory(root.path())?;
            dockerfile::read_ignore_file(root.path(), beside)?
        }
        None => None,
    };
    let (patterns, diagnostics) = Patterns::parse(file.as_ref().map_or("", |file| file.text.as_str()));
    if let (Some(file), Some(_)) = (&file, diagnostics.first()) {
        let render = |diagnostic| frontend::render(diagnostic, &file.name, &file.text);
        let rendered = diagnostics.iter().map(render).collect();
        return Err(BuildError::IgnoreFile { name: file.name.clone(), rendered });
    }
    Ok(ContextSource { root, ignore: Arc::new(patterns), ignore_file: file.map(|file| file.name), mode })
}

fn plan_options(request: &BuildRequest, platform: &Platform) -> PlanOptions {
    let mut build_args = request.build_args.clone();
    for (name, value) in &request.proxy_env {
        build_args.entry(name.clone()).or_insert_with(|| value.clone());
    }
    PlanOptions {
        build_args,
        target: request.target.clone(),
        labels: request.labels.clone(),
        build_platform: default_platform(),
        asked_platform: (!request.platforms.is_empty()).then(|| platform.clone()),
        shows_platforms: request.platforms.len() > 1,
        no_cache: request.no_cache.clone(),
        network: request.network,
        surroundings: request.surroundings.clone(),
        named_contexts: request
            .named_contexts
            .iter()
            .enumerate()
            .map(|(index, (name, it))| (name.clone(), it.plan(index)))
            .collect(),
        ..PlanOptions::new(platform.clone())
    }
}

impl NamedContext {
    /// What the frontend needs to know of the context with this place among all.
    fn plan(&self, index: usize) -> frontend::NamedContext {
        match self {
            Self::Directory(_) | Self::Client(_) => frontend::NamedContext::Files,
            Self::Image(reference) => frontend::NamedContext::Image(reference.clone()),
            Self::Scratch => frontend::NamedContext::Scratch,
            Self::Remote(RemoteFiles(remote)) => frontend::NamedContext::Remote(remote.clone()),
            Self::Layout { .. } | Self::Built(_) => frontend::NamedContext::Image(layouts::reference(index)),
            Self::Stage(name) => frontend::NamedContext::Stage(name.clone()),
        }
    }
}

/// Announces every vertex that people see, in the order of the graph.
fn announce(graph: &BuildGraph, steps: &Steps) -> BTreeMap<VertexId, StepId> {
    let mut step_of = BTreeMap::new();
    for (id, vertex) in graph.vertices() {
        if matches!(vertex.op, Op::Scratch) {
            continue;
        }
        let inputs = vertex.inputs.iter().filter_map(|input| step_of.get(input).copied()).collect();
        let identity = image::Hasher::new("vertex/v1")
            .field("index", id.index().to_le_bytes())
            .field("op", vertex.op.digest().0.0)
            .finish();
        step_of.insert(id, steps.announce(&vertex.label.name, Some(identity), inputs));
    }
    step_of
}

/// A build that is about to run.
struct Built {
    graph: BuildGraph,
    targets: Vec<planned::Target>,
    /// How the layers of each of them become fewer.
    fewer: Vec<Fewer>,
}

impl Built {
    /// Solves the graph, and brings the layers of the targets if somebody wants them. What a remote cache loses on the
    /// way is a miss: each time fewer of its layers are trusted.
    async fn solve_with_files(
        &self,
        worker: &BuildWorker,
        request: &BuildRequest,
    ) -> Result<Solved<Output>, BuildError> {
        loop {
            let solved = async {
                let mut solved = self.solve(worker).await?;
                if finish::needs_files(request) {
                    for target in &mut solved.targets {
                        target.output = worker.here(&target.output).await?;
                    }
                } else {
                    let names = finish::pushed_names(request);
                    for target in solved.targets.iter().filter(|_| !names.is_empty()) {
                        worker.promise(&target.output, &names).await?;
                    }
                }
                worker.remember_brought(&solved)?;
                Ok(solved)
            };
            match solved.await {
                Err(BuildError::LostLayer { .. }) => {}
                other => return other,
            }
        }
    }

    async fn solve(&self, worker: &BuildWorker) -> Result<Solved<Output>, BuildError> {
        let observe = |event| match event {
            SolverEvent::Started(id) => worker.step(id).into_iter().for_each(|step| worker.steps.start(step)),
            SolverEvent::Completed(id) => {
                worker.step(id).into_iter().for_each(|step| worker.steps.complete(step));
            }
            // Told elsewhere, with what the solver does not know: the age of a hit, the text of a failure.
            SolverEvent::Cached(_) | SolverEvent::Failed(_) => {}
        };
        let targets: Vec<VertexId> = self.targets.iter().map(|target| target.vertex).collect();
        let solved = solver::solve(&self.graph, &targets, worker, &observe).await;
        solved.map_err(|failed| {
            let is_over = !matches!(failed.source, BuildError::LostLayer { .. });
            if let (Some(step), true) = (worker.step(failed.vertex), is_over) {
                worker.steps.start(step);
                worker.steps.fail(step, failed.source.to_string());
            }
            failed.source
        })
    }
}

/// For which platforms a build is.
fn platforms(request: &BuildRequest) -> Vec<Platform> {
    match request.platforms.is_empty() {
        true => vec![default_platform()],
        false => request.platforms.clone(),
    }
}

/// Annotations have to be of something that leaves.
fn check_annotations(request: &BuildRequest, platforms: &[Platform]) -> Result<(), BuildError> {
    for form in request.outputs.iter().filter_map(crate::Output::form) {
        let has_index = platforms.len() > 1 || request.sbom || request.provenance.is_some();
        if form.annotations.need_index() && !has_index {
            return Err(BuildError::IndexAnnotations);
        }
        if let Some(platform) = form.annotations.platforms().find(|it| !platforms.contains(it)) {
            return Err(BuildError::AnnotationPlatform { platform: platform.clone() });
        }
    }
    Ok(())
}

impl Source {
    fn errors(&self, diagnostics: &[Diagnostic]) -> BuildError {
        let errors = diagnostics.iter().filter(|diagnostic| diagnostic.is_error());
        let render = |diagnostic| frontend::render(diagnostic, &self.name, &self.text);
        BuildError::Dockerfile { rendered: errors.map(render).collect() }
    }

    fn warn(&self, diagnostics: &[Diagnostic], steps: &Steps) {
        for diagnostic in diagnostics.iter().filter(|diagnostic| !diagnostic.is_error()) {
            let rendered = frontend::render(diagnostic, &self.name, &self.text);
            steps.warn(diagnostic.rule, &diagnostic.message, rendered);
        }
    }
}

/// Who asks for a report wants to know what steps use as well.
fn resources(request: &BuildRequest) -> Resources {
    let account = request.resources.account || request.reporting == Reporting::On;
    Resources { account, ..request.resources.clone() }
}

/// The age of a result is that at the beginning of the build: what the build itself has made is never too old.
fn cached_since_unix_ns(cache_ttl: Option<Duration>) -> i64 {
    let ttl_ns = cache_ttl.map(|ttl| i64::try_from(ttl.as_nanos()).unwrap_or(i64::MAX));
    ttl_ns.map_or(i64::MIN, |ttl_ns| crate::ops::now_unix_ns().saturating_sub(ttl_ns))
}

/// Names the directory of a build's logs: the time, then the process, so that names sort by age.
fn build_id() -> String {
    format!("{:020}-{}", crate::ops::now_unix_ns(), std::process::id())
}
