//! How an image was made, for those who did not make it: SLSA provenance, see <https://slsa.dev/spec/v1.0/provenance>.
//!
//! The parameters are written as BuildKit writes them, so that tools which know its provenance read ours. Secrets are
//! names here as everywhere, proxies are nowhere, and credentials are taken out of URLs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use graph::{BuildGraph, MountSource, Network, Op, VertexId};
use image::{Digest, Platform};
use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::images::{Predicate, package_url};
use crate::ops::BuildWorker;
use crate::{BuildRequest, Context, DockerfileSource};

const PREDICATE_TYPE: &str = "https://slsa.dev/provenance/v1";
/// BuildKit's, since the parameters have its form.
const BUILD_TYPE: &str = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";

/// `--provenance`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Provenance {
    /// How much it tells.
    pub mode: ProvenanceMode,
    /// Who built, as a URI; none is this program.
    pub builder_id: Option<String>,
}

/// How much provenance tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ProvenanceMode {
    /// Where everything came from.
    #[default]
    Min,
    /// Also the arguments, the names of secrets, the Dockerfile, and every step.
    Max,
}

/// What there is to tell of one image of a build.
pub(crate) struct Told<'a> {
    pub(crate) request: &'a BuildRequest,
    pub(crate) worker: &'a BuildWorker,
    pub(crate) graph: &'a BuildGraph,
    pub(crate) target: VertexId,
    pub(crate) began: SystemTime,
}

impl Provenance {
    /// The predicate. With `SOURCE_DATE_EPOCH` it has no times, so that the same build gives the same bytes.
    pub(crate) fn predicate(&self, told: &Told<'_>) -> Predicate {
        let Told { worker, graph, target, .. } = told;
        let needed = needed(graph, *target);
        let mut internal = Map::new();
        internal.insert("builderPlatform".to_owned(), Platform::host().to_string().into());
        if self.mode == ProvenanceMode::Max {
            internal.insert("buildConfig".to_owned(), steps(graph, &needed));
        }
        let builder_id = self.builder_id.clone().unwrap_or_else(own_id);
        let value = json!({
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": self.parameters(told, &needed),
                "internalParameters": internal,
                "resolvedDependencies": dependencies(worker, graph, &needed),
            },
            "runDetails": {
                "builder": {"id": builder_id},
                "metadata": self.metadata(told, &needed),
            },
        });
        Predicate { kind: PREDICATE_TYPE.to_owned(), value }
    }

    fn parameters(&self, told: &Told<'_>, needed: &BTreeSet<VertexId>) -> Value {
        let Told { request, graph, .. } = told;
        let mut arguments: Map<String, Value> = Map::new();
        let target = request.target.as_ref().map(|target| ("target".to_owned(), target.clone().into()));
        arguments.extend(target);
        let mut asked = json!({"frontend": "dockerfile.v0", "locals": locals(request)});
        if self.mode == ProvenanceMode::Max {
            let build_args = request.build_args.iter().filter(|(name, _)| !frontend::is_proxy_setting(name));
            arguments.extend(build_args.map(|(name, it)| (format!("build-arg:{name}"), it.clone().into())));
            let labels = request.labels.iter();
            arguments.extend(labels.map(|(name, it)| (format!("label:{name}"), it.clone().into())));
            let (secrets, agents) = ids(graph, needed);
            asked["secrets"] = secrets.into();
            asked["ssh"] = agents.into();
        }
        asked["args"] = arguments.into();
        json!({"configSource": config_source(request), "request": asked})
    }

    fn metadata(&self, told: &Told<'_>, needed: &BTreeSet<VertexId>) -> Value {
        let Told { request, worker, graph, began, .. } = told;
        let hermetic = needed.iter().all(|id| match &graph.vertex(*id).op {
            Op::Run(run) => run.network == Network::None,
            _ => true,
        });
        let mut metadata = json!({
            "buildkit_hermetic": hermetic,
            "buildkit_completeness": {
                "request": self.mode == ProvenanceMode::Max,
                "resolvedDependencies": hermetic && locals(request).is_empty(),
            },
        });
        if worker.source_date_epoch.is_none() {
            let build = worker.logs.file_name().map(|name| name.to_string_lossy().into_owned());
            metadata["invocationId"] = build.into();
            metadata["startedOn"] = rfc3339(*began).into();
            metadata["finishedOn"] = rfc3339(SystemTime::now()).into();
        }
        if self.mode == ProvenanceMode::Max {
            let text = STANDARD.encode(&worker.source.text);
            let info = json!({"filename": worker.source.name, "language": "Dockerfile", "data": text});
            metadata["buildkit_metadata"] = json!({"source": {"infos": [info]}});
        }
        metadata
    }
}

fn own_id() -> String {
    format!("pkg:generic/slipway@{}", env!("CARGO_PKG_VERSION"))
}

fn rfc3339(time: SystemTime) -> Option<String> {
    Timestamp::try_from(time).ok().map(|time| time.to_string())
}

/// A vertex and everything that it needs.
fn needed(graph: &BuildGraph, target: VertexId) -> BTreeSet<VertexId> {
    let (mut needed, mut open) = (BTreeSet::new(), vec![target]);
    while let Some(id) = open.pop() {
        if needed.insert(id) {
            open.extend(&graph.vertex(id).inputs);
        }
    }
    needed
}

/// Directories of the machine that the build could read.
fn locals(request: &BuildRequest) -> Vec<Value> {
    let mut names = Vec::new();
    if !matches!(request.context, Context::Remote(_)) {
        names.push("context");
        if !matches!(request.dockerfile, DockerfileSource::Url(_)) {
            names.push("dockerfile");
        }
    }
    let directory = |(name, context): (&'_ String, &crate::NamedContext)| {
        matches!(context, crate::NamedContext::Directory(_)).then(|| name.clone())
    };
    let named = request.named_contexts.iter().filter_map(directory);
    names.into_iter().map(str::to_owned).chain(named).map(|name| json!({"name": name})).collect()
}

fn config_source(request: &BuildRequest) -> Value {
    let path = match &request.dockerfile {
        DockerfileSource::Context => "Dockerfile".to_owned(),
        // Where it lies on the machine is nobody's business.
        DockerfileSource::Path(path) => {
            path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
        }
        DockerfileSource::Url(url) => graph::redacted(url),
        DockerfileSource::Text(_) => "-".to_owned(),
        DockerfileSource::Graph(_) => return json!({}),
    };
    match &request.context {
        Context::Remote(remote) => json!({"uri": remote.to_string(), "path": path}),
        _ => json!({"path": path}),
    }
}

/// The names of the secrets and of the agents that steps may ask for.
fn ids(graph: &BuildGraph, needed: &BTreeSet<VertexId>) -> (Vec<Value>, Vec<Value>) {
    let (mut secrets, mut agents) = (BTreeMap::new(), BTreeMap::new());
    for id in needed {
        let Op::Run(run) = &graph.vertex(*id).op else { continue };
        secrets.extend(run.secret_env.iter().map(|secret| (&secret.id, secret.required)));
        for mount in &run.mounts {
            match &mount.source {
                MountSource::Secret { id, required, .. } => drop(secrets.insert(id, *required)),
                MountSource::Agent { id, required, .. } => drop(agents.insert(id, *required)),
                MountSource::Input { .. } | MountSource::Tmpfs { .. } | MountSource::Cache { .. } => {}
            }
        }
    }
    let list = |ids: BTreeMap<&String, bool>| {
        ids.into_iter().map(|(id, required)| json!({"id": id, "optional": !required})).collect()
    };
    (list(secrets), list(agents))
}

/// What came from elsewhere, with who it was.
fn dependencies(worker: &BuildWorker, graph: &BuildGraph, needed: &BTreeSet<VertexId>) -> Vec<Value> {
    let sha256 = |digest: &Digest| json!({"sha256": digest.hex()});
    let dependency = |id: &VertexId| match &graph.vertex(*id).op {
        Op::Image(source) => {
            let uri = package_url(&source.reference, &source.platform);
            let digest = worker.bases.get(source).digest;
            Some((uri, digest.as_ref().map(sha256)))
        }
        Op::Http(source) => {
            let contents = worker.contents.lock().expect("no holder of the lock panics");
            Some((graph::redacted(&source.url), contents.get(id).map(sha256)))
        }
        Op::Git(source) => {
            let commits = worker.commits.lock().expect("no holder of the lock panics");
            let commit = commits.get(id).map(|commit| json!({"sha1": commit.name}));
            Some((format!("{}#{}", graph::redacted(&source.remote), source.reference), commit))
        }
        Op::Scratch | Op::Context(_) | Op::Run(_) | Op::File(_) => None,
    };
    let entry = |(uri, digest): (String, Option<Value>)| match digest {
        Some(digest) => json!({"uri": uri, "digest": digest}),
        None => json!({"uri": uri}),
    };
    needed.iter().filter_map(dependency).map(entry).collect()
}

/// Every step with what it was made from, as its key knows it.
fn steps(graph: &BuildGraph, needed: &BTreeSet<VertexId>) -> Value {
    let name = |id: VertexId| format!("step{}", id.index());
    let step = |id: &VertexId| {
        let vertex = graph.vertex(*id);
        let inputs: Vec<_> = vertex.inputs.iter().map(|input| name(*input)).collect();
        let ingredients: Vec<_> = vertex
            .op
            .ingredients()
            .into_iter()
            .map(|(name, it)| json!({"name": name, "value": it}))
            .collect();
        json!({"id": name(*id), "name": vertex.label.name, "inputs": inputs, "ingredients": ingredients})
    };
    json!({"steps": needed.iter().map(step).collect::<Vec<_>>()})
}
