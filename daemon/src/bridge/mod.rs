//! BuildKit's service `LLBBridge`: clients that drive a build step by step, as buildx does.

mod caps;
mod containers;
mod files;
mod images;
mod own_definition;
mod processes;
mod questions;
mod solve;

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::rc::Rc;
use std::sync::{Arc, Mutex, MutexGuard};

use containers::Containers;
use engine::{BuildOutcome, Engine};
use hyper::body::Incoming;
use image::{ImageConfig, ImageId, Platform};
use tokio::sync::{OnceCell, watch};
use tonic::body::Body;
use tonic::{Code, Request, Status, Streaming};

use crate::Daemon;
use crate::builds::Build;
use crate::control::record;
use crate::proto::bridge::result::Result as AnyRef;
use crate::proto::bridge::{
    EvaluateRequest, EvaluateResponse, ExecMessage, InputsRequest, InputsResponse, NewContainerRequest,
    PingRequest, PongResponse, ReadDirRequest, ReadFileRequest, ReleaseContainerRequest,
    ResolveImageConfigRequest, ResolveSourceMetaRequest, Result as Answer, ReturnRequest, ReturnResponse,
    SolveRequest, StatFileRequest, WarnRequest, WarnResponse,
};
use crate::proto::pb::Definition;
use crate::run::{HandedBack, Leaving, Prepared};
use crate::server::unimplemented;
use crate::wire;

/// Which build a call is about.
const BUILD: &str = "buildkit-controlapi-buildid";
/// Where clients put the config of the image that they make.
const CONFIG: &str = "containerimage.config";
/// Results of one build.
const RESULTS_MAX: usize = 4096;

/// A result that a client has, and can look into: built at the latest then.
pub(crate) struct BridgeResult {
    pub(crate) prepared: Arc<Prepared>,
    /// With the engine that built it, which keeps its layers in the store.
    built: OnceCell<(Engine, BuildOutcome)>,
}

/// What a client has at the end.
#[derive(Debug, Clone)]
pub(crate) enum Returned {
    /// Results. Some clients have none: they only want to know what we can do.
    Results(Results),
    Error(Status),
}

/// The results that a client has at the end.
#[derive(Debug, Clone, Default)]
pub(crate) struct Results {
    /// By the platforms that the client has them for; an only one by an empty name.
    pub(crate) by_platform: BTreeMap<String, Arc<Prepared>>,
    /// What the client says of them.
    pub(crate) metadata: HashMap<String, Vec<u8>>,
}

impl Results {
    /// Each once, in the order of the platforms.
    pub(crate) fn each(&self) -> Vec<Arc<Prepared>> {
        let mut results: Vec<Arc<Prepared>> = Vec::new();
        for prepared in self.by_platform.values() {
            if !results.iter().any(|known| Arc::ptr_eq(known, prepared)) {
                results.push(prepared.clone());
            }
        }
        results
    }
}

/// What a build has of its client's doing.
#[derive(Debug)]
pub(crate) struct Bridge {
    results: Mutex<HashMap<String, Arc<BridgeResult>>>,
    returned: watch::Sender<Option<Returned>>,
    containers: Containers,
    /// What a frontend is given to build on.
    inputs: HashMap<String, Definition>,
}

impl Bridge {
    pub(crate) fn new() -> Self {
        Self::with_inputs(HashMap::new())
    }

    /// For a frontend that is given something to build on.
    pub(crate) fn with_inputs(inputs: HashMap<String, Definition>) -> Self {
        let (results, containers) = (Mutex::default(), Containers::default());
        Self { results, returned: watch::channel(None).0, containers, inputs }
    }

    /// What the client has said so far that it has at the end.
    pub(crate) fn returned_so_far(&self) -> Option<Returned> {
        self.returned.borrow().clone()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Arc<BridgeResult>>> {
        self.results.lock().expect("no holder of the lock panics")
    }

    /// What the client has at the end, once it says so.
    pub(crate) async fn returned(&self) -> Returned {
        let mut returned = self.returned.subscribe();
        let returned = returned.wait_for(Option::is_some).await;
        let returned = returned.expect("the sender lives as long as `self`");
        returned.clone().expect("it was waited for")
    }

    /// Lets go of what the results hold: the directories in which the files of the client are.
    pub(crate) fn clear(&self) {
        self.containers.clear();
        self.lock().clear();
        self.returned.send_replace(None);
    }

    /// The name of a new result.
    fn add(&self, prepared: Prepared) -> Result<(String, Arc<BridgeResult>), Status> {
        let result = Arc::new(BridgeResult::new(prepared));
        Ok((self.adopt(result.clone())?, result))
    }

    /// A name for a result that is there.
    fn adopt(&self, result: Arc<BridgeResult>) -> Result<String, Status> {
        let mut results = self.lock();
        if results.len() >= RESULTS_MAX {
            return Err(Status::resource_exhausted(format!("more than {RESULTS_MAX} results in one build")));
        }
        let name = format!("slipway-{}", results.len());
        results.insert(name.clone(), result);
        Ok(name)
    }

    pub(crate) fn get(&self, name: &str) -> Result<Arc<BridgeResult>, Status> {
        let found = self.lock().get(name).cloned();
        found.ok_or_else(|| Status::not_found(format!("no such ref: {name}")))
    }
}

impl fmt::Debug for BridgeResult {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("BridgeResult").field("prepared", &self.prepared).finish_non_exhaustive()
    }
}

impl Drop for BridgeResult {
    fn drop(&mut self) {
        if let Some((engine, outcome)) = self.built.get()
            && let Err(error) = engine.forget_unnamed(outcome)
        {
            tracing::debug!(%error, "cannot take the image of a result away");
        }
    }
}

impl BridgeResult {
    fn new(prepared: Prepared) -> Self {
        Self::of(Arc::new(prepared))
    }

    fn of(prepared: Arc<Prepared>) -> Self {
        Self { prepared, built: OnceCell::new() }
    }

    /// The image of the result, of several that for this machine, and an engine that has it.
    async fn image(&self, daemon: &Daemon, build: &Build) -> Result<(&Engine, ImageId), Status> {
        let (engine, outcome) = self.built(daemon, build).await?;
        Ok((engine, outcome.image))
    }

    /// The images, one for each platform.
    pub(crate) async fn images(
        &self,
        daemon: &Daemon,
        build: &Build,
    ) -> Result<Vec<(Platform, ImageId)>, Status> {
        Ok(self.built(daemon, build).await?.1.images.clone())
    }

    async fn built(&self, daemon: &Daemon, build: &Build) -> Result<&(Engine, BuildOutcome), Status> {
        let built = self.built.get_or_try_init(|| async {
            let engine = self.prepared.engine(daemon)?;
            let outcome = self.prepared.build(&engine, Leaving::default(), &build.feed).await?;
            Ok::<_, Status>((engine, outcome))
        });
        built.await
    }
}

/// The images of results that a client hands back, by its names for them.
pub(crate) async fn handed_back(
    daemon: &Daemon,
    build: &Build,
    inputs: &HashMap<String, Definition>,
) -> Result<BTreeMap<String, HandedBack>, Status> {
    let mut found = BTreeMap::new();
    for (name, definition) in inputs {
        let result = solve::defined(daemon, build, definition, Vec::new()).await?;
        let images = result.images(daemon, build).await?;
        found.insert(name.clone(), HandedBack { images, result });
    }
    Ok(found)
}

/// Answers a call of a method.
pub(crate) async fn answer(
    daemon: Rc<Daemon>,
    method: &str,
    request: http::Request<Incoming>,
) -> http::Response<Body> {
    let name = request.headers().get(BUILD).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if name.is_empty() {
        return Status::invalid_argument(format!("a call of the gateway needs `{BUILD}`")).into_http();
    }
    let build = match daemon.builds.get(name).await {
        Ok(build) => build,
        Err(status) => return status.into_http(),
    };
    answer_for(daemon, build, method, request).await
}

/// Answers a call about a build.
pub(crate) async fn answer_for(
    daemon: Rc<Daemon>,
    build: Arc<Build>,
    method: &str,
    request: http::Request<Incoming>,
) -> http::Response<Body> {
    match method {
        "ResolveImageConfig" => {
            wire::unary(request, |request: Request<ResolveImageConfigRequest>| {
                let work = images::config(daemon.clone(), build.clone(), request.into_inner());
                while_it_runs(daemon, build, work)
            })
            .await
        }
        "ResolveSourceMeta" => {
            wire::unary(request, |request: Request<ResolveSourceMetaRequest>| {
                let work = images::meta(daemon.clone(), build.clone(), request.into_inner());
                while_it_runs(daemon, build, work)
            })
            .await
        }
        "Ping" => wire::unary(request, |_: Request<PingRequest>| ping(daemon)).await,
        "Solve" => {
            wire::unary(request, |request: Request<SolveRequest>| {
                let work = solve::solve(daemon.clone(), build.clone(), request.into_inner());
                while_it_runs(daemon, build, work)
            })
            .await
        }
        "Evaluate" => {
            wire::unary(request, |request: Request<EvaluateRequest>| {
                let work = evaluate(daemon.clone(), build.clone(), request);
                while_it_runs(daemon, build, work)
            })
            .await
        }
        "Return" => wire::unary(request, |request: Request<ReturnRequest>| come_back(build, request)).await,
        "Inputs" => wire::unary(request, |_: Request<InputsRequest>| inputs(build)).await,
        "Warn" => wire::unary(request, |request: Request<WarnRequest>| warn(build, request)).await,
        "ReadFile" => {
            wire::unary(request, |request: Request<ReadFileRequest>| {
                let work = files::read_file(daemon.clone(), build.clone(), request.into_inner());
                while_it_runs(daemon, build, work)
            })
            .await
        }
        "ReadDir" => {
            wire::unary(request, |request: Request<ReadDirRequest>| {
                let work = files::read_directory(daemon.clone(), build.clone(), request.into_inner());
                while_it_runs(daemon, build, work)
            })
            .await
        }
        "StatFile" => {
            wire::unary(request, |request: Request<StatFileRequest>| {
                let work = files::stat_file(daemon.clone(), build.clone(), request.into_inner());
                while_it_runs(daemon, build, work)
            })
            .await
        }
        "NewContainer" => {
            wire::unary(request, |request: Request<NewContainerRequest>| {
                let work = containers::create(daemon.clone(), build.clone(), request.into_inner());
                while_it_runs(daemon, build, work)
            })
            .await
        }
        "ReleaseContainer" => {
            wire::unary(request, |request: Request<ReleaseContainerRequest>| {
                containers::release(build, request.into_inner())
            })
            .await
        }
        "ExecProcess" => {
            let (begin, told) = containers::execute(daemon, build);
            wire::bidi(request, |request: Request<Streaming<ExecMessage>>| async move {
                // Whoever would take it goes with this thread.
                let _ = begin.send(request.into_inner());
                Ok(told)
            })
            .await
        }
        _ => unimplemented(&format!("/moby.buildkit.v1.frontend.LLBBridge/{method}")),
    }
}

/// Does what a client waits for, unless its build ends before: the session that the work needs may be gone with it, and
/// clients end only when all of their calls are answered.
async fn while_it_runs<A>(
    daemon: Rc<Daemon>,
    build: Arc<Build>,
    work: impl Future<Output = Result<A, Status>>,
) -> Result<A, Status> {
    tokio::select! {
        biased;
        done = work => done,
        status = daemon.builds.ended(&build) => Err(status),
    }
}

async fn ping(daemon: Rc<Daemon>) -> Result<PongResponse, Status> {
    Ok(PongResponse {
        frontend_api_caps: caps::frontend(),
        llb_caps: caps::llb(),
        workers: vec![record(&daemon)],
    })
}

async fn evaluate(
    daemon: Rc<Daemon>,
    build: Arc<Build>,
    request: Request<EvaluateRequest>,
) -> Result<EvaluateResponse, Status> {
    let result = build.bridge.get(&request.into_inner().r#ref)?;
    result.image(&daemon, &build).await?;
    Ok(EvaluateResponse {})
}

/// The client has its result: `Control.Solve` goes on with it.
async fn come_back(build: Arc<Build>, request: Request<ReturnRequest>) -> Result<ReturnResponse, Status> {
    let ReturnRequest { result, error } = request.into_inner();
    let returned = match error {
        Some(error) => Returned::Error(Status::new(Code::from(error.code), error.message)),
        None => Returned::Results(returned_results(&build, result.unwrap_or_default())?),
    };
    build.bridge.returned.send_replace(Some(returned));
    Ok(ReturnResponse {})
}

/// The results that a client names, by the platforms that it has them for, with the configs that it gives their images.
fn returned_results(build: &Build, result: Answer) -> Result<Results, Status> {
    let Answer { result, metadata, .. } = result;
    let alone = |name| BTreeMap::from([(String::new(), name)]);
    let names: BTreeMap<String, String> = match result {
        None => BTreeMap::new(),
        Some(AnyRef::Ref(one)) => alone(one.id),
        Some(AnyRef::RefDeprecated(name)) => alone(name),
        Some(AnyRef::Refs(many)) => many.refs.into_iter().map(|(platform, it)| (platform, it.id)).collect(),
        Some(AnyRef::RefsDeprecated(many)) => many.refs.into_iter().collect(),
    };
    let mut by_platform = BTreeMap::new();
    for (platform, name) in names.iter().filter(|(_, name)| !name.is_empty()) {
        let prepared = build.bridge.get(name)?.prepared.clone();
        let prepared = match config(&metadata, platform)? {
            Some(config) => prepared.with_config(config).map_or(prepared, Arc::new),
            None => prepared,
        };
        by_platform.insert(platform.clone(), prepared);
    }
    Ok(Results { by_platform, metadata })
}

/// The config that a client gives the image for a platform; the layers it does not know.
fn config(metadata: &HashMap<String, Vec<u8>>, platform: &str) -> Result<Option<ImageConfig>, Status> {
    let name = if platform.is_empty() { CONFIG.to_owned() } else { format!("{CONFIG}/{platform}") };
    let Some(bytes) = metadata.get(&name).or_else(|| metadata.get(CONFIG)) else { return Ok(None) };
    let wrong = |error| Status::invalid_argument(format!("`{name}` is no config of an image: {error}"));
    let config: ImageConfig = serde_json::from_slice(bytes).map_err(wrong)?;
    Ok(Some(ImageConfig { rootfs: Default::default(), ..config }))
}

/// What a frontend is given; clients have none.
async fn inputs(build: Arc<Build>) -> Result<InputsResponse, Status> {
    Ok(InputsResponse { definitions: build.bridge.inputs.clone() })
}

async fn warn(build: Arc<Build>, request: Request<WarnRequest>) -> Result<WarnResponse, Status> {
    build.feed.pass_on(request.into_inner());
    Ok(WarnResponse {})
}
