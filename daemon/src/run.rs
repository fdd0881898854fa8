//! Builds that clients ask for: from attributes to an image.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::future::Future;
use std::io::Read as _;
use std::pin::Pin;
use std::sync::Arc;

use engine::remote_cache::{CacheImport, CachePlace, RemoteCaches};
use engine::report::Reporting;
use engine::{
    Agents, BuildOutcome, BuildRequest, Client, Context, ContextMode, DeviceGrant, DockerfileSource, Engine,
    Entitlement, Entitlements, Explaining, GivenGraph, Named, NamedContext, Network, NoCache, Provided,
    PullPolicy, RemoteFiles, Resources, Secrets, StreamContent, Surroundings, default_platform, registries,
};
use image::{ImageConfig, ImageId, Platform, Reference};
use tokio::sync::Mutex;
use tonic::Status;

use crate::attestations::{self, Attestations};
use crate::attributes::{Attributes, ContextAttribute, invalid};
use crate::bridge::BridgeResult;
use crate::caches::{self, CacheExports, Import};
use crate::failure::{self, SourceText, chain};
use crate::feed::Feed;
use crate::layouts::{self, Held, LayoutImage};
use crate::llb::{self, Lowered, Unnamed};
use crate::proto::control::CacheOptionsEntry;
use crate::proto::pb;
use crate::session::Session;
use crate::session::agents::ForwardedAgents;
use crate::session::auth::ClientCredentials;
use crate::session::files::joined;
use crate::session::layout::TAG;
use crate::session::upload::SESSION_URL;
use crate::{Daemon, local};

/// A build whose parts are known and not yet here.
#[derive(Debug, Clone)]
pub(crate) struct Prepared {
    pub(crate) request: BuildRequest,
    pub(crate) source: Option<SourceText>,
    /// What is attested of the image when it leaves.
    pub(crate) attestations: Attestations,
    /// Results that it stands on, which stay as long as it does.
    #[allow(dead_code, reason = "they are held, not looked at")]
    below: Vec<Arc<BridgeResult>>,
    /// Directories with what it has of layouts of the client, as long as it is there.
    #[allow(dead_code, reason = "they are held, not looked at")]
    held: Held,
    session: Option<Arc<Session>>,
}

/// A result that a client hands back: its images, one for each platform, which are there as long as this is.
#[derive(Debug, Clone)]
pub(crate) struct HandedBack {
    pub(crate) images: Vec<(Platform, ImageId)>,
    pub(crate) result: Arc<BridgeResult>,
}

/// What a client asks for.
pub(crate) struct Asked<'a> {
    pub(crate) attributes: &'a HashMap<String, String>,
    pub(crate) entitlements: Entitlements,
    /// Caches to read, beside those that the attributes name.
    pub(crate) imports: Vec<CacheOptionsEntry>,
    /// Results of other builds, by the names that the attributes have for them.
    pub(crate) inputs: BTreeMap<String, HandedBack>,
}

/// What becomes of an image beside being in the store.
#[derive(Debug, Default)]
pub(crate) struct Leaving {
    pub(crate) names: Vec<Reference>,
    pub(crate) caches: CacheExports,
    pub(crate) attestations: Attestations,
}

/// Answers an engine for the client of a session.
struct SessionClient {
    session: Arc<Session>,
    agents: Mutex<ForwardedAgents>,
}

impl fmt::Debug for SessionClient {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("SessionClient")
    }
}

impl Client for SessionClient {
    fn provide(&self, named: Named) -> Pin<Box<dyn Future<Output = Result<Provided, String>> + Send + '_>> {
        Box::pin(async move {
            let message = |status: Status| status.message().to_owned();
            let secrets = self.session.secrets(&named.secrets).await.map_err(message)?;
            let mut forwarded = self.agents.lock().await;
            let agents = forwarded.open(&self.session, &named.agents).await.map_err(message)?;
            Ok(Provided { secrets, agents })
        })
    }
}

/// Where the files of a build are, of those that the client has.
struct Place<'a> {
    daemon: &'a Daemon,
    session: Option<&'a Arc<Session>>,
    attributes: Attributes<'a>,
    inputs: &'a BTreeMap<String, HandedBack>,
    /// For which images of many platforms are needed.
    platforms: Vec<Platform>,
}

impl Place<'_> {
    fn session(&self) -> Result<&Arc<Session>, Status> {
        self.session
            .ok_or_else(|| Status::invalid_argument("the build needs files of a client without a session"))
    }

    /// The session that has a directory.
    async fn session_of(&self, directory: &str) -> Result<Arc<Session>, Status> {
        match self.attributes.session_of(directory) {
            Some(id) => Ok(self.daemon.sessions.get(id).await),
            None => self.session().cloned(),
        }
    }

    /// The Dockerfile and the context.
    async fn files(&self) -> Result<(Context, DockerfileSource, Option<SourceText>), Status> {
        let Some(text) = self.attributes.get("context") else {
            let (source, ignore) = self.dockerfile().await?;
            let directory = self.attributes.context_directory();
            let session = self.session_of(directory).await?;
            let files = local::context(&session, &self.daemon.kept, directory, ignore).await?;
            return Ok((Context::Client(files), DockerfileSource::Text(source.text.clone()), Some(source)));
        };
        let (context, own_text) = self.context_elsewhere(text).await?;
        if self.attributes.names_dockerfile_directory() {
            let (source, _) = self.dockerfile().await?;
            return Ok((context, DockerfileSource::Text(source.text.clone()), Some(source)));
        }
        match own_text {
            Some(text) => {
                let source = SourceText { name: self.attributes.filename().to_owned(), text: text.clone() };
                Ok((context, DockerfileSource::Text(text), Some(source)))
            }
            None => Ok((context, DockerfileSource::Path(self.attributes.filename().into()), None)),
        }
    }

    async fn dockerfile(&self) -> Result<(SourceText, Option<engine::IgnoreText>), Status> {
        let directory = self.attributes.dockerfile_directory();
        let session = self.session_of(directory).await?;
        local::dockerfile(&session, &self.daemon.kept, directory, self.attributes.filename()).await
    }

    /// A context that is no directory of the client's; the text when it is a Dockerfile alone.
    async fn context_elsewhere(&self, text: &str) -> Result<(Context, Option<String>), Status> {
        if let Some(name) = text.strip_prefix(SESSION_URL) {
            let upload = self.session()?.upload(name).await?;
            let failed = |error: std::io::Error| Status::invalid_argument(error.to_string());
            let read = crate::blocking::spawn_blocking(move || match StreamContent::detect(upload)? {
                StreamContent::Archive(stream) => Ok((Context::Archive(stream), None)),
                StreamContent::Text(mut stream) => {
                    let mut bytes = Vec::new();
                    stream.read_to_end(&mut bytes)?;
                    let text = engine::decode_dockerfile(bytes);
                    let text =
                        text.ok_or_else(|| std::io::Error::other("the Dockerfile is not UTF-8 text"))?;
                    Ok((Context::Empty, Some(text)))
                }
            });
            return joined(read).await?.map_err(failed);
        }
        match RemoteFiles::parse(text) {
            Ok(Some(remote)) => Ok((Context::Remote(remote), None)),
            Ok(None) => Err(invalid("context", text, "the URL of a file or a git repository")),
            Err(error) => Err(Status::invalid_argument(error.to_string())),
        }
    }

    async fn named_context(
        &self,
        context: &ContextAttribute<'_>,
        held: &mut Held,
    ) -> Result<NamedContext, Status> {
        let ContextAttribute { name, value } = context;
        let wrong = |expected| invalid(&format!("context:{name}"), value, expected);
        if let Some(text) = value.strip_prefix("docker-image://") {
            return NamedContext::image(text).map_err(|_| wrong("the name of an image"));
        }
        if let Some(directory) = value.strip_prefix("local:") {
            let session = self.session_of(directory).await?;
            return Ok(NamedContext::Client(
                local::context(&session, &self.daemon.kept, directory, None).await?,
            ));
        }
        if let Some(stage) = value.strip_prefix("target:") {
            return Ok(NamedContext::Stage(stage.to_owned()));
        }
        if let Some(input) = value.strip_prefix("input:") {
            let images = self.inputs.get(input).map(|input| input.images.clone());
            return images
                .map(NamedContext::Built)
                .ok_or_else(|| wrong("a result that comes with the build"));
        }
        if let Some(text) = value.strip_prefix("oci-layout://") {
            let image = LayoutImage::parse(text)?;
            let kept = &self.daemon.kept;
            let (context, directory) = layouts::image(self.session()?, kept, &image, &self.platforms).await?;
            held.push(directory);
            return Ok(context);
        }
        match RemoteFiles::parse(value) {
            Ok(Some(remote)) => Ok(NamedContext::Remote(remote)),
            Ok(None) => Err(wrong(
                "docker-image://, oci-layout://, local:, target:, input:, or the URL of a file or a git repository",
            )),
            Err(error) => Err(Status::invalid_argument(error.to_string())),
        }
    }
}

/// What clients may do to this machine, as far as the daemon lets them.
pub(crate) fn entitlements(daemon: &Daemon, wanted: &[String]) -> Result<Entitlements, Status> {
    let allowed = |text: &String| {
        let entitlement: Entitlement = text
            .parse()
            .map_err(|error: engine::UnknownEntitlement| Status::invalid_argument(error.to_string()))?;
        let is_device = matches!(entitlement, Entitlement::Device(_));
        let is_allowed = daemon.settings.entitlements.iter().any(|known| {
            *known == entitlement || (is_device && *known == Entitlement::Device(DeviceGrant::All))
        });
        match is_allowed {
            true => Ok(entitlement),
            false => Err(Status::permission_denied(format!("entitlement {text} is not allowed"))),
        }
    };
    wanted.iter().map(allowed).collect()
}

/// Finds out what a build needs. Nothing runs.
pub(crate) async fn prepare(
    daemon: &Daemon,
    session: Option<&Arc<Session>>,
    asked: Asked<'_>,
    feed: &Arc<Feed>,
) -> Result<Prepared, Status> {
    let Asked { attributes, entitlements, mut imports, inputs } = asked;
    let attributes = Attributes(attributes);
    let attestations = attestations::read(attributes)?;
    imports.extend(caches::attribute_imports(attributes)?);
    let (imports, mut held) = cache_imports(daemon, session, &imports, feed).await?;
    let platforms = attributes.platforms()?;
    let wanted = platforms.iter().cloned().chain([default_platform()]).collect();
    let place = Place { daemon, session, attributes, inputs: &inputs, platforms: wanted };
    let network = attributes.network()?;
    if network == Network::Host && !entitlements.contains(&Entitlement::NetworkHost) {
        return Err(Status::permission_denied("network.host is not allowed"));
    }
    let (context, dockerfile, source) = place.files().await?;
    if let Some(source) = &source {
        feed.set_source(pb::SourceInfo {
            filename: source.name.clone(),
            data: source.text.clone().into_bytes(),
            language: "Dockerfile".to_owned(),
            ..pb::SourceInfo::default()
        });
    }
    let mut named_contexts = BTreeMap::new();
    let build_platform = platforms.first().cloned().unwrap_or_else(default_platform);
    for context in attributes.contexts(&build_platform) {
        named_contexts.insert(context.name.to_owned(), place.named_context(&context, &mut held).await?);
    }
    let request = BuildRequest {
        named_contexts,
        target: attributes.target(),
        build_args: attributes.build_args(),
        labels: attributes.labels(),
        no_cache: attributes.no_cache(),
        platforms,
        pull: attributes.pull()?,
        network,
        resources: attributes.resources()?,
        surroundings: attributes.surroundings()?,
        caches: RemoteCaches { imports, ..RemoteCaches::default() },
        ..plain(context, dockerfile, entitlements)
    };
    let below = inputs.into_values().map(|input| input.result).collect();
    Ok(Prepared { request, source, attestations, below, held, session: session.cloned() })
}

/// A build of which nothing is said but what it is made from.
fn plain(context: Context, dockerfile: DockerfileSource, entitlements: Entitlements) -> BuildRequest {
    BuildRequest {
        context,
        context_mode: ContextMode::Exact,
        dockerfile,
        named_contexts: BTreeMap::new(),
        target: None,
        build_args: BTreeMap::new(),
        entitlements,
        secrets: Secrets::new(),
        agents: Agents::new(),
        labels: Vec::new(),
        tags: Vec::new(),
        no_cache: NoCache::Nothing,
        cache_ttl: None,
        platforms: Vec::new(),
        pull: PullPolicy::Missing,
        proxy_env: Vec::new(),
        network: Network::Default,
        resources: Resources::default(),
        surroundings: Surroundings::default(),
        explaining: Explaining::First,
        reporting: Reporting::Off,
        outputs: Vec::new(),
        squash: None,
        max_layers: None,
        provenance: None,
        sbom: false,
        caches: RemoteCaches::default(),
    }
}

/// A build that a client has put together itself.
pub(crate) struct Defined<'a> {
    pub(crate) definition: &'a pb::Definition,
    pub(crate) entitlements: Entitlements,
    /// Caches to read.
    pub(crate) imports: Vec<CacheOptionsEntry>,
}

/// The session with an id, or that of the build.
async fn session_or(
    daemon: &Daemon,
    session: Option<&Arc<Session>>,
    id: Option<&str>,
) -> Result<Arc<Session>, Status> {
    let of_build = || Status::invalid_argument("the build needs files of a client without a session");
    match id {
        Some(id) => Ok(daemon.sessions.get(id).await),
        None => session.cloned().ok_or_else(of_build),
    }
}

/// The caches that a build reads, and directories in which those of the client are. One that cannot be had is told of, and
/// left out.
async fn cache_imports(
    daemon: &Daemon,
    session: Option<&Arc<Session>>,
    entries: &[CacheOptionsEntry],
    feed: &Arc<Feed>,
) -> Result<(Vec<CacheImport>, Held), Status> {
    let mut refused = |what: &str, why: &str| {
        feed.begin(&format!("importing cache manifest from {what}")).end(Some(why.to_owned()));
    };
    let keyed = daemon.settings.keyed_caches;
    let imports = caches::imports(entries, keyed, &mut refused)?;
    let (mut found, mut held) = (Vec::new(), Held::new());
    for import in imports {
        match import {
            Import::Elsewhere(import) => found.push(import),
            Import::OfClient { source, digest } => {
                let Some(session) = session else {
                    refused(&source, "a directory of the client needs a session");
                    continue;
                };
                match layouts::cache(session, &daemon.kept, &source, &digest).await {
                    Ok((path, directory)) => {
                        held.push(directory);
                        let place = CachePlace::Directory { path, tag: TAG.to_owned() };
                        found.push(CacheImport { place, timeout: None });
                    }
                    Err(status) => refused(&source, status.message()),
                }
            }
        }
    }
    Ok((found, held))
}

/// Finds out what a definition needs. Nothing runs.
pub(crate) async fn prepare_definition(
    daemon: &Daemon,
    session: Option<&Arc<Session>>,
    defined: Defined<'_>,
    feed: &Arc<Feed>,
) -> Result<Prepared, Status> {
    let Defined { definition, entitlements, imports } = defined;
    let lowered = llb::lower(definition, &default_platform());
    let lowered = lowered.map_err(|error| Status::invalid_argument(chain(&error)))?;
    let Lowered { graph, target, locals, unnamed, pulled, platform, source, cgroup_parent } = lowered;
    let (imports, mut held) = cache_imports(daemon, session, &imports, feed).await?;
    let mut named_contexts = BTreeMap::new();
    for (context, local) in locals {
        let session = session_or(daemon, session, local.session.as_deref()).await?;
        named_contexts.insert(context, NamedContext::Client(local::chosen(&session, &daemon.kept, local)));
    }
    let (mut images, mut below) = (BTreeMap::new(), Vec::new());
    for (reference, unnamed) in unnamed {
        let image = match unnamed {
            Unnamed::Result { build, result } => {
                let build = daemon.builds.get(&build).await?;
                let result = build.bridge.get(&result)?;
                let images = result.images(daemon, &build).await?;
                below.push(result);
                NamedContext::Built(images)
            }
            Unnamed::Layout { image, session: of, platform } => {
                let session = session_or(daemon, session, of.as_deref()).await?;
                let (image, directory) = layouts::image(&session, &daemon.kept, &image, &[platform]).await?;
                held.push(directory);
                image
            }
        };
        images.insert(reference, image);
    }
    if let Some(info) = definition.source.as_ref().and_then(|source| source.infos.first()) {
        feed.set_source(info.clone());
    }
    let config = ImageConfig::empty(&platform);
    let given = GivenGraph { graph, target, config, images, pulled, source: source.clone() };
    let source = source.map(|(name, text)| SourceText { name, text });
    let request = BuildRequest {
        named_contexts,
        resources: Resources { parent: cgroup_parent.unwrap_or_default(), ..Resources::default() },
        caches: RemoteCaches { imports, ..RemoteCaches::default() },
        ..plain(Context::Empty, DockerfileSource::Graph(Arc::new(given)), entitlements)
    };
    let attestations = Attestations::default();
    Ok(Prepared { request, source, attestations, below, held, session: session.cloned() })
}

/// The engine as a client sees it: with its credentials, secrets and agents.
pub(crate) fn engine_for(daemon: &Daemon, session: Option<&Arc<Session>>) -> Result<Engine, Status> {
    let engine = daemon.engine()?;
    let Some(session) = session else { return Ok(engine) };
    let settings = daemon.settings.registries.clone();
    let credentials = settings.credentials.asking(Arc::new(ClientCredentials(session.clone())));
    let client = SessionClient { session: session.clone(), agents: Mutex::default() };
    let engine = engine.with_client(Arc::new(client));
    Ok(engine.with_registries(registries::Settings { credentials, ..settings }))
}

impl Prepared {
    /// The same with another config of the image, where nobody but the client knows one.
    pub(crate) fn with_config(&self, config: ImageConfig) -> Option<Self> {
        let DockerfileSource::Graph(given) = &self.request.dockerfile else { return None };
        let given = GivenGraph { config, ..(**given).clone() };
        let dockerfile = DockerfileSource::Graph(Arc::new(given));
        Some(Self { request: BuildRequest { dockerfile, ..self.request.clone() }, ..self.clone() })
    }

    /// The engine as this client sees it.
    pub(crate) fn engine(&self, daemon: &Daemon) -> Result<Engine, Status> {
        engine_for(daemon, self.session.as_ref())
    }

    /// Builds the image.
    pub(crate) async fn build(
        &self,
        engine: &Engine,
        leaving: Leaving,
        feed: &Arc<Feed>,
    ) -> Result<BuildOutcome, Status> {
        let Leaving { names, caches, attestations } = leaving;
        let mut request = self.request.clone();
        request.tags = names;
        (request.caches.exports, request.caches.inline) = (caches.exports, caches.inline);
        (request.provenance, request.sbom) = (attestations.provenance, attestations.sbom);
        let built = Box::pin(engine.build(request, feed.progress())).await;
        built.map_err(|error| failure::status(&error, self.source.as_ref(), feed))
    }
}
