//! Does what the vertices of a build say: the worker behind the solver.

mod ahead;
mod cache_mount;
mod context;
mod cutoff;
mod elsewhere;
mod file;
mod git;
mod http;
mod image;
mod looked_into;
mod mount;
mod owner;
mod recorder;
mod remains;
mod run;
mod secret;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ::image::{Digest, Hasher};
use cache::tree::ContextMode;
use cache::{KeyLock, Layer, LayerId, Record, Store};
use frontend::ignore::Patterns;
use graph::{Op, Vertex, VertexId};
use solver::{Finished, Found, Identity, Input, Key, Keys, Lookup, Worker};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::agent::AgentPool;
use crate::blocking::blocking;
use crate::cdi::DeviceEdits;
use crate::context::ContextRoot;
use crate::fetch::{Access, Commit};
use crate::remote_cache::{AwayLayers, Early, Foreign, Imports, Link, Trail};
use crate::report::Meter;
use crate::secrets::Secrets;
use crate::space::{Attempts, with_room};
use crate::steps::Steps;
use crate::sweep::Sweep;
use crate::why::Journal;
use crate::{BuildError, Engine, StepId};
use cutoff::Ran;

pub(crate) use ahead::{Ahead, prepare_helper};
pub(crate) use context::{ContextFiles, remember};
pub(crate) use image::{BaseImage, BaseImages};
pub(crate) use looked_into::LookedInto;
pub(crate) use remains::RemainsOfSteps;

/// How long to wait before asking again for a key that another process is making.
const CLAIM_POLL: Duration = Duration::from_millis(5);

/// Steps of one build that run at the same time; more wait. Each has a thread and some descriptors.
pub(crate) const STEPS_AT_ONCE_MAX: usize = 64;

/// What a vertex comes to.
#[derive(Clone)]
pub(crate) enum Output {
    /// A chain of layers.
    Layers(Layers),
    /// A chain of layers, of which some are known and not here. Whatever is executed sees none of these.
    Away(AwayLayers),
    /// The user's files, in place.
    Context(Arc<ContextFiles>),
}

/// A chain of layers, lowest first.
#[derive(Clone)]
pub(crate) struct Layers {
    pub(crate) ids: Arc<[LayerId]>,
    /// When the topmost was made; nanoseconds since 1970.
    pub(crate) created_unix_ns: i64,
}

impl Output {
    /// The layers, if they are all here; a context has none.
    pub(crate) fn layers(&self) -> Option<&Layers> {
        match self {
            Self::Layers(layers) => Some(layers),
            Self::Away(_) | Self::Context(_) => None,
        }
    }

    /// When the topmost layer was made; nanoseconds since 1970.
    pub(crate) fn created_unix_ns(&self) -> Option<i64> {
        match self {
            Self::Layers(layers) => Some(layers.created_unix_ns),
            Self::Away(layers) => Some(layers.created_unix_ns),
            Self::Context(_) => None,
        }
    }

    /// The layers, here or not.
    pub(crate) fn links(&self) -> Vec<Link> {
        match self {
            Self::Layers(layers) => layers.ids.iter().copied().map(Link::Here).collect(),
            Self::Away(layers) => layers.links.to_vec(),
            Self::Context(_) => Vec::new(),
        }
    }
}

/// The context of a build: a directory and what of it is invisible.
#[derive(Clone)]
pub(crate) struct ContextSource {
    pub(crate) root: ContextRoot,
    pub(crate) ignore: Arc<Patterns>,
    pub(crate) ignore_file: Option<String>,
    /// What of the modes of its files counts.
    pub(crate) mode: ContextMode,
}

/// The worker of one build.
pub(crate) struct BuildWorker {
    pub(crate) engine: Engine,
    pub(crate) store: Arc<Store>,
    pub(crate) steps: Arc<Steps>,
    /// The step of each vertex that people see.
    pub(crate) step_of: BTreeMap<VertexId, StepId>,
    pub(crate) bases: BaseImages,
    /// The contexts of the build, by name.
    pub(crate) contexts: BTreeMap<String, ContextSource>,
    /// Those that were looked at.
    pub(crate) opened: Mutex<Vec<Arc<ContextFiles>>>,
    /// What steps get with their devices.
    pub(crate) devices: BTreeMap<VertexId, DeviceEdits>,
    /// What steps may ask for and nobody else may see.
    pub(crate) secrets: Secrets,
    pub(crate) agents: Arc<AgentPool>,
    pub(crate) source: SourceText,
    pub(crate) source_date_epoch: Option<i64>,
    /// A result that was made earlier is too old to be used; nanoseconds since 1970.
    pub(crate) cached_since_unix_ns: i64,
    pub(crate) logs: PathBuf,
    /// What became of each step, for explanations.
    pub(crate) journal: Arc<Journal>,
    /// How long the parts of each step took.
    pub(crate) meter: Arc<Meter>,
    pub(crate) ahead: Ahead,
    /// Vertices whose files somebody looks into during the build or at its end.
    pub(crate) looked_into: LookedInto,
    /// Limits of each step that runs a process.
    pub(crate) resources: executor::Resources,
    pub(crate) sweep: Sweep,
    /// What the kernel still takes apart of steps that have ended.
    pub(crate) remains: RemainsOfSteps,
    /// Limits the steps that run at the same time.
    pub(crate) slots: Semaphore,
    /// How other machines are reached.
    pub(crate) access: Access,
    /// Commits of repositories that have been identified.
    pub(crate) commits: Mutex<BTreeMap<VertexId, Commit>>,
    /// Layers of sources that came when they were identified.
    pub(crate) fetched: Mutex<BTreeMap<VertexId, LayerId>>,
    /// The digests of files of HTTP servers.
    pub(crate) contents: Mutex<BTreeMap<VertexId, Digest>>,
    /// Diff ids that are being computed while later steps run.
    pub(crate) hashing: Mutex<Vec<JoinHandle<()>>>,
    /// Caches outside the store.
    pub(crate) imports: Imports,
    /// What BuildKit calls the results.
    pub(crate) foreign: Arc<Foreign>,
    /// Layers on their way to caches.
    pub(crate) early: Arc<Early>,
    /// Cache mounts that steps have used.
    pub(crate) used_mounts: Mutex<BTreeSet<String>>,
    /// Under which keys the results are known.
    pub(crate) trail: Trail,
}

/// The Dockerfile, for messages.
pub(crate) struct SourceText {
    pub(crate) name: String,
    pub(crate) text: String,
}

impl Worker for BuildWorker {
    type Output = Output;
    type Error = BuildError;

    async fn identify(&self, id: VertexId, vertex: &Vertex) -> Result<Identity<Output>, BuildError> {
        match &vertex.op {
            Op::Image(source) => {
                if let Some(step) = self.step(id) {
                    self.steps.start(step);
                    self.steps.complete(step);
                }
                let identity = self.bases.identify(source);
                if let Some(Output::Layers(layers)) = &identity.output {
                    self.meter.add(id, |measured| measured.layers = layers.ids.to_vec());
                }
                self.journal.source(id, identity.digest);
                Ok(identity)
            }
            Op::Http(source) => {
                let digest = Some(http::identify(self, id, vertex, source).await?);
                self.journal.source(id, digest);
                Ok(Identity { digest, output: None })
            }
            Op::Context(source) => {
                let files = context::open(self, id, source).await?;
                self.journal.source(id, None);
                Ok(Identity { digest: None, output: Some(Output::Context(files)) })
            }
            Op::Git(source) => {
                let digest = Some(git::identify(self, id, vertex, source).await?);
                self.journal.source(id, digest);
                Ok(Identity { digest, output: None })
            }
            Op::Scratch | Op::Run(_) | Op::File(_) => {
                let output = Some(Output::Layers(Layers { ids: Arc::from([]), created_unix_ns: 0 }));
                Ok(Identity { digest: Some(Hasher::new("scratch/v1").finish()), output })
            }
        }
    }

    async fn fingerprint(
        &self,
        id: VertexId,
        vertex: &Vertex,
        inputs: &[Option<Output>],
    ) -> Result<Digest, BuildError> {
        let inputs = &self.read_here(vertex, inputs).await?[..];
        let begin = Instant::now();
        let digest = match &vertex.op {
            Op::File(file) => file::fingerprint(self, id, vertex, file, inputs).await,
            Op::Run(run) => mount::fingerprint(self, vertex, run, inputs).await,
            Op::Scratch | Op::Image(_) | Op::Context(_) | Op::Http(_) | Op::Git(_) => {
                unreachable!("sources read no inputs")
            }
        };
        self.meter.since(id, begin, |measured| &mut measured.hash);
        digest
    }

    async fn look_up(&self, id: VertexId, key: Key) -> Result<Lookup<Output>, BuildError> {
        // One small file: shorter than the way to another thread.
        let Some(record) = self.store.record(&cache::Key(key.0))? else {
            return self.look_elsewhere(id, key).await;
        };
        if record.created_unix_ns < self.cached_since_unix_ns {
            self.foreign.is_another(id);
            self.ahead.missed(id);
            self.journal.expired(id, record.created_unix_ns);
            return Ok(Lookup::Expired);
        }
        if let Some(step) = self.step(id) {
            self.steps.cached(step, record.created_unix_ns);
        }
        let found = found(&record);
        self.tread(id, key, found.offered, record.created_unix_ns, false);
        self.meter.add(id, |measured| measured.layers = record.layers.last().copied().into_iter().collect());
        self.journal.cached(id, key, found.offered.0, record.ingredients);
        Ok(Lookup::Found(found))
    }

    async fn execute(
        &self,
        id: VertexId,
        vertex: &Vertex,
        inputs: &[Input<Output>],
        keys: Keys,
    ) -> Result<Finished<Output>, BuildError> {
        let mut attempts = Attempts::default();
        loop {
            match self.attempt(id, vertex, inputs, keys).await {
                Err(error) if attempts.again(&self.store, &error).await => {}
                result => return result,
            }
        }
    }

    async fn remember(&self, id: VertexId, keys: Keys, found: &Found<Output>) -> Result<(), BuildError> {
        let (Some(definition), Some(content)) = (keys.definition, keys.content) else { return Ok(()) };
        if let Some(record) = self.store.record(&cache::Key(content.0))? {
            let offered = Some(cache::Key(found.offered.0));
            let record = Record { key: cache::Key(definition.0), offered, ..record };
            with_room(&self.store, || self.store.put_record(&record))?;
            self.tread(id, definition, found.offered, record.created_unix_ns, false);
        }
        Ok(())
    }
}

impl BuildWorker {
    /// Executes a vertex, once.
    async fn attempt(
        &self,
        id: VertexId,
        vertex: &Vertex,
        inputs: &[Input<Output>],
        keys: Keys,
    ) -> Result<Finished<Output>, BuildError> {
        let ready = Instant::now();
        let key = keys.offered().expect("whatever runs continues something that has a key");
        let _claim = self.claim(key).await?;
        if !vertex.no_cache
            && let Lookup::Found(found) = self.look_up(id, key).await?
        {
            return Ok(Finished { output: found.output, offered: Some(found.offered), reused: true });
        }
        self.sweep.begin(&self.store);
        let _slot = self.slots.acquire().await.expect("nobody closes the slots");
        let _of_all = match &self.engine.parallelism {
            Some(steps) => Some(steps.acquire().await.expect("nobody closes the slots")),
            None => None,
        };
        self.meter.since(id, ready, |measured| &mut measured.queue);
        let begin = Instant::now();
        if vertex.op.is_source() {
            let fetched = self.fetch(id, vertex, keys).await;
            self.meter.since(id, begin, |measured| &mut measured.run);
            return fetched;
        }
        self.journal.running(id, vertex, key);
        let mut outputs = Vec::with_capacity(inputs.len());
        for input in inputs {
            outputs.push(self.here(&input.output).await?);
        }
        let layer = self.make(id, vertex, &outputs).await?;
        let made = Instant::now();
        self.meter.add(id, |measured| measured.layers = vec![layer.id()]);
        let below = outputs[0].layers().expect("what is continued has layers");
        let ids: Arc<[LayerId]> = below.ids.iter().copied().chain([layer.id()]).collect();
        let created_unix_ns = now_unix_ns();
        let ran = inputs[0]
            .offered
            .filter(|_| matches!(vertex.op, Op::Run(_)))
            .map(|continued| Ran { continued: cache::Key(continued.0), offered: cache::Key(key.0) });
        if let Some(ran) = ran {
            for (content, offered) in self.imports.states(ran.continued.0) {
                cutoff::learn(&self.store, Ran { offered: cache::Key(offered), ..ran }, &content)?;
            }
        }
        let ran = self.replacing(ran, &layer).await?;
        let earlier = self.digest(id, ran, layer).await?;
        let offered = earlier.unwrap_or(ran.map_or(key, |ran| Key(ran.offered.0)));
        self.record(id, vertex, keys, offered, &ids, created_unix_ns)?;
        self.journal.finished(id, offered);
        self.meter.since(id, made, |measured| &mut measured.commit);
        let output = Output::Layers(Layers { ids, created_unix_ns });
        Ok(Finished { output, offered: Some(offered), reused: false })
    }

    /// The step of a vertex, if people see it.
    pub(crate) fn step(&self, id: VertexId) -> Option<StepId> {
        self.step_of.get(&id).copied()
    }

    /// Makes this the only process that makes the result of `key`.
    async fn claim(&self, key: Key) -> Result<KeyLock, BuildError> {
        let key = cache::Key(key.0);
        loop {
            if let Some(lock) = self.store.try_lock_key(&key)? {
                return Ok(lock);
            }
            tokio::time::sleep(CLAIM_POLL).await;
        }
    }

    /// Makes a source that is not at hand.
    async fn fetch(&self, id: VertexId, vertex: &Vertex, keys: Keys) -> Result<Finished<Output>, BuildError> {
        let layer = match &vertex.op {
            Op::Http(source) => http::execute(self, id, vertex, source).await?,
            Op::Git(source) => git::execute(self, id, vertex, source).await?,
            _ => unreachable!("other sources are at hand"),
        };
        let (ids, created_unix_ns) = (Arc::from([layer]), now_unix_ns());
        let key = keys.definition.expect("a source that is not at hand has an identity");
        self.record(id, vertex, keys, key, &ids, created_unix_ns)?;
        let output = Output::Layers(Layers { ids, created_unix_ns });
        Ok(Finished { output, offered: Some(key), reused: false })
    }

    /// Makes the layer of a step. The first step of a build that does so says why, before it ends.
    async fn make(&self, id: VertexId, vertex: &Vertex, inputs: &[Output]) -> Result<Layer, BuildError> {
        let step = self.step(id).filter(|_| self.journal.is_first_to_explain());
        match &vertex.op {
            Op::Run(run) => {
                let explained = step.map(|step| self.explain(id, step));
                let made = run::execute(self, id, vertex, run, inputs).await;
                if let Some(explained) = explained {
                    explained.await;
                }
                made
            }
            Op::File(file) => {
                let made = file::execute(self, id, vertex, file, inputs).await;
                // What was copied is part of the reason.
                if let Some(step) = step {
                    self.explain(id, step).await;
                }
                made
            }
            Op::Scratch | Op::Image(_) | Op::Context(_) | Op::Http(_) | Op::Git(_) => {
                unreachable!("sources do not run")
            }
        }
    }

    /// Finds out on another thread, beginning now, why a step runs, and tells it.
    fn explain(&self, id: VertexId, step: StepId) -> impl Future<Output = ()> + Send + use<> {
        let (journal, steps, root) = (self.journal.clone(), self.steps.clone(), self.store.root().to_owned());
        let task = tokio::task::spawn_blocking(move || {
            if let Some(reasons) = crate::why::explain_now(&root, &journal, id) {
                steps.explain(step, reasons);
            }
        });
        async move {
            // It ends without a word only when the build is given up.
            let _ = task.await;
        }
    }

    fn record(
        &self,
        id: VertexId,
        vertex: &Vertex,
        keys: Keys,
        offered: Key,
        ids: &[LayerId],
        now: i64,
    ) -> Result<(), BuildError> {
        for key in [keys.content, keys.definition].into_iter().flatten() {
            self.store.put_record(&Record {
                key: cache::Key(key.0),
                offered: (offered != key).then_some(cache::Key(offered.0)),
                layers: ids.to_vec(),
                content: None,
                created_unix_ns: now,
                description: vertex.label.name.clone(),
                ingredients: vertex.op.ingredients(),
            })?;
            self.tread(id, key, offered, now, true);
        }
        Ok(())
    }

    /// What a RUN offers that ran although its result was there: what is built on the old result must not be taken for
    /// built on the new one.
    async fn replacing(&self, ran: Option<Ran>, layer: &Layer) -> Result<Option<Ran>, BuildError> {
        let Some(ran) = ran else { return Ok(None) };
        let Some(old) = self.store.record(&ran.offered)? else { return Ok(Some(ran)) };
        let (store, layer) = (self.store.clone(), layer.clone());
        Ok(Some(blocking(move || cutoff::replacing(&store, &old, ran, &layer)).await?))
    }

    /// Computes the layer's digests: on another thread, while later steps run, unless the step may have come
    /// to a known state. Then its dependents wait for the answer, which is the earlier key.
    async fn digest(&self, id: VertexId, ran: Option<Ran>, layer: Layer) -> Result<Option<Key>, BuildError> {
        let (store, clamp) = (self.store.clone(), self.source_date_epoch);
        let (early, whole, made) = (self.early.clone(), store.clone(), (layer.clone(), clamp));
        let offer = move || early.offer(&whole, id, made);
        if layer.is_summarized(clamp)? {
            offer();
            let Some(ran) = ran else { return Ok(None) };
            return Ok(cutoff::recognise(&store, ran, &layer)?.map(|key| Key(key.0)));
        }
        if let Some(ran) = ran
            && cutoff::may_be_known(&store, ran)?
        {
            let copy = layer.clone();
            let earlier = blocking(move || cutoff::recognise(&store, ran, &copy)).await?;
            self.later(id, move || {
                layer.diff_id(clamp)?;
                offer();
                Ok(())
            });
            return Ok(earlier.map(|key| Key(key.0)));
        }
        self.later(id, move || {
            layer.diff_id(clamp)?;
            offer();
            ran.map_or(Ok(()), |ran| cutoff::recognise(&store, ran, &layer).map(|_| ()))
        });
        Ok(None)
    }

    /// Does `work` on another thread; the end of the build waits for it. Work that fails is done again where
    /// its result is needed, and its error is told there.
    fn later(&self, id: VertexId, work: impl FnOnce() -> Result<(), cache::StoreError> + Send + 'static) {
        let meter = self.meter.clone();
        let engine = self.engine.clone();
        let task = tokio::task::spawn_blocking(move || {
            let begin = Instant::now();
            if let Err(error) = work() {
                tracing::debug!(%error, "cannot digest a layer ahead of time");
            }
            meter.since(id, begin, |measured| &mut measured.digest);
            engine.step_ended();
        });
        self.hashing.lock().expect("no holder of the lock panics").push(task);
    }

    /// Renders a message about a vertex with its line of the Dockerfile.
    pub(crate) fn render(&self, vertex: &Vertex, message: &str, help: Option<String>) -> String {
        let Some(location) = &vertex.label.location else { return String::new() };
        let diagnostic = frontend::Diagnostic::error("Build", location.span.clone(), message).with_help(help);
        frontend::render(&diagnostic, &self.source.name, &self.source.text)
    }
}

fn found(record: &Record) -> Found<Output> {
    let layers = Layers { ids: record.layers.clone().into(), created_unix_ns: record.created_unix_ns };
    Found { output: Output::Layers(layers), offered: Key(record.offered.unwrap_or(record.key).0) }
}

pub(crate) fn now_unix_ns() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_nanos()).unwrap_or(i64::MAX)
}
