//! `Control.Solve`: a build from the request to the facts about its result.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use engine::images::ImageSet;
use engine::{BuildOutcome, Engine};
use tonic::Status;

use crate::Daemon;
use crate::attestations::Attestations;
use crate::bridge::{self, Returned};
use crate::builds::{About, Build};
use crate::caches::{self, CacheExports, named_imports};
use crate::exporters::{self, Export, Exporting, Facts};
use crate::failure::chain;
use crate::gateway::{self, Wish};
use crate::layouts::Outgoing;
use crate::proto::control::{Exporter, SolveRequest, SolveResponse};
use crate::run::{self, Asked, Defined, Leaving, Prepared};
use crate::session::Session;
use crate::session::files::joined;

/// The manifest of a cache that the client has in a directory now: it gives it its name there.
const CACHE_MANIFEST: &str = "cache.manifest";
/// The frontend that is ours.
const DOCKERFILE: &str = "dockerfile.v0";
/// The one that runs others.
const GATEWAY: &str = "gateway.v0";
/// With this build argument a client asks for another frontend: for its image, with more words for it behind that.
pub(crate) const SYNTAX: &str = "build-arg:BUILDKIT_SYNTAX";
/// What a frontend that was asked for so is told. It may want ours in turn, with the same build arguments.
pub(crate) const COMMAND_LINE: &str = "cmdline";
/// Images that have our frontend in them, in BuildKit's form.
const DOCKERFILE_IMAGES: [&str; 2] = ["docker/dockerfile", "docker/dockerfile-upstream"];

/// Builds as long as the client of the call, and of its session, are there.
pub(super) async fn solve(daemon: Rc<Daemon>, request: SolveRequest) -> Result<SolveResponse, Status> {
    let exporters = exporters_of(&request);
    let about = About {
        frontend: request.frontend.clone(),
        attributes: request.frontend_attrs.clone(),
        exporters: exporters.clone(),
        is_internal: request.internal,
        session: request.session.clone(),
        imports: named_imports(request.cache.as_ref()),
        entitlements: request.entitlements.clone(),
    };
    let running = daemon.builds.begin(&request.r#ref, about)?;
    let session = match request.session.as_str() {
        "" => None,
        id => Some(daemon.sessions.get(id).await),
    };
    let result = tokio::select! {
        result = solved(&daemon, &request, &exporters, session.as_ref(), &running.build) => result,
        () = lost(session.as_ref()) => Err(Status::cancelled("the session of the build has ended")),
    };
    running.end(result).map(|exporter_response| SolveResponse { exporter_response })
}

async fn lost(session: Option<&Arc<Session>>) {
    match session {
        Some(session) => session.lost().await,
        None => std::future::pending().await,
    }
}

/// Older clients have one exporter, elsewhere.
fn exporters_of(request: &SolveRequest) -> Vec<Exporter> {
    if !request.exporters.is_empty() || request.exporter_deprecated.is_empty() {
        return request.exporters.clone();
    }
    let attrs = request.exporter_attrs_deprecated.clone();
    vec![Exporter { r#type: request.exporter_deprecated.clone(), attrs }]
}

async fn solved(
    daemon: &Rc<Daemon>,
    request: &SolveRequest,
    exporters: &[Exporter],
    session: Option<&Arc<Session>>,
    build: &Arc<Build>,
) -> Result<Facts, Status> {
    let exports = exporters::read(exporters)?;
    let entitlements = run::entitlements(daemon, &request.entitlements)?;
    refuse_unsupported(request)?;
    let caches = caches::exports(request.cache.as_ref(), daemon.settings.keyed_caches)?;
    let definition = request.definition.as_ref().filter(|definition| !definition.def.is_empty());
    let results = if let Some(definition) = definition {
        let imports = build.about.imports.clone();
        let defined = Defined { definition, entitlements, imports };
        vec![Arc::new(run::prepare_definition(daemon, session, defined, &build.feed).await?)]
    } else if request.frontend.is_empty() {
        match build.bridge.returned().await {
            Returned::Results(results) => results.each(),
            Returned::Error(status) => return Err(status),
        }
    } else if let Frontend::Image(source) = frontend(&request.frontend, &request.frontend_attrs)? {
        let inputs = request.frontend_inputs.clone();
        let wish = Wish { source, attributes: &request.frontend_attrs, inputs };
        match gateway::run(daemon, session, wish, build).await? {
            Returned::Results(results) => results.each(),
            Returned::Error(status) => return Err(status),
        }
    } else {
        let inputs = bridge::handed_back(daemon, build, &request.frontend_inputs).await?;
        let imports = build.about.imports.clone();
        let asked = Asked { attributes: &request.frontend_attrs, entitlements, imports, inputs };
        vec![Arc::new(run::prepare(daemon, session, asked, &build.feed).await?)]
    };
    match results.is_empty() {
        true => Ok(Facts::new()),
        false => built(daemon, &results, (&exports, caches), session, build).await,
    }
}

async fn built(
    daemon: &Daemon,
    results: &[Arc<Prepared>],
    (exports, mut caches): (&[Export], CacheExports),
    session: Option<&Arc<Session>>,
    build: &Build,
) -> Result<Facts, Status> {
    let outgoing = Outgoing::begin(session, &daemon.kept, &mut caches).await?;
    // Each engine keeps the layers of what it built in the store.
    let mut done = Vec::new();
    for prepared in results {
        let leaving = Leaving {
            // Several results have their names together.
            names: if results.len() == 1 { exporters::stored_names(exports) } else { Vec::new() },
            caches: caches.clone(),
            attestations: attestations(prepared, exports)?,
        };
        let engine = prepared.engine(daemon)?;
        let outcome = prepared.build(&engine, leaving, &build.feed).await?;
        done.push((engine, outcome));
    }
    let exported = match exports.is_empty() {
        true => Ok(Facts::new()),
        false => exported(daemon, &done, exports, session, build).await,
    };
    let facts = match exported {
        Ok(mut facts) => outgoing.send(&build.feed).await.map(|manifest| {
            facts.extend(manifest.map(|manifest| (CACHE_MANIFEST.to_owned(), manifest)));
            facts
        }),
        failed => failed,
    };
    if !exporters::keep_image(exports) {
        for (engine, outcome) in &done {
            engine.forget_unnamed(outcome).map_err(|error| Status::internal(chain(&error)))?;
        }
    }
    facts
}

/// Sends what was built everywhere.
async fn exported(
    daemon: &Daemon,
    done: &[(Engine, BuildOutcome)],
    exports: &[Export],
    session: Option<&Arc<Session>>,
    build: &Build,
) -> Result<Facts, Status> {
    let images: Vec<_> = done.iter().flat_map(|(_, outcome)| outcome.images.clone()).collect();
    let members = done.iter().flat_map(|(_, outcome)| outcome.set.members.clone());
    let set = ImageSet { members: members.collect() };
    let engine = &done[0].0;
    let (naming, names) = (engine.clone(), exporters::stored_names(exports));
    let named = crate::blocking::spawn_blocking(move || naming.name_images(&names, &images));
    let image = joined(named).await?.map_err(|error| Status::internal(chain(&error)))?;
    Exporting { engine, session, feed: &build.feed, kept: &daemon.kept, image, set }.run(exports).await
}

/// What is attested of a result that goes to these places.
fn attestations(prepared: &Prepared, exports: &[Export]) -> Result<Attestations, Status> {
    let wanted = prepared.attestations.clone();
    match exporters::are_described(exports) {
        true => Ok(wanted),
        false if wanted.is_wanted_beside_files && exporters::are_files(exports) => {
            Err(Status::unimplemented(
                "attestations are beside an image's manifest, and bare files have none: take `type=oci`, or push",
            ))
        }
        false => Ok(Attestations::default()),
    }
}

/// Who makes a build of what a client says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frontend<'a> {
    /// We do.
    Dockerfile,
    /// What is in the image with this name.
    Image(&'a str),
}

/// Which frontends there are.
pub(crate) fn frontend<'a>(
    frontend: &str,
    attributes: &'a HashMap<String, String>,
) -> Result<Frontend<'a>, Status> {
    let is_ours = |source: &str| {
        let repository = source.trim_start_matches("docker.io/").split([':', '@']).next().unwrap_or_default();
        source == DOCKERFILE || DOCKERFILE_IMAGES.contains(&repository)
    };
    let asked_for = attributes.get(SYNTAX).filter(|_| !attributes.contains_key(COMMAND_LINE));
    let asked_for = asked_for.and_then(|words| words.split_whitespace().next());
    match (frontend, attributes.get("source").map(String::as_str)) {
        (DOCKERFILE, _) => match asked_for.filter(|image| !is_ours(image)) {
            Some(image) => Ok(Frontend::Image(image)),
            None => Ok(Frontend::Dockerfile),
        },
        (GATEWAY, Some(source)) if is_ours(source) => Ok(Frontend::Dockerfile),
        (GATEWAY, Some(source)) if !source.is_empty() => Ok(Frontend::Image(source)),
        (GATEWAY, _) => Err(Status::invalid_argument("`gateway.v0` needs the attribute `source`")),
        (other, _) => Err(Status::not_found(format!("invalid frontend: {other}"))),
    }
}

fn refuse_unsupported(request: &SolveRequest) -> Result<(), Status> {
    let has_definition = request.definition.as_ref().is_some_and(|definition| !definition.def.is_empty());
    if has_definition && !request.frontend.is_empty() {
        return Err(Status::invalid_argument(format!(
            "a definition is built as it is, and not by the frontend `{}`",
            request.frontend
        )));
    }
    if request.source_policy.as_ref().is_some_and(|policy| !policy.rules.is_empty()) {
        return Err(Status::unimplemented("source policies are not supported"));
    }
    Ok(())
}
