//! `Control.Solve`: a build from the request to the facts about its result.

use std::rc::Rc;
use std::sync::Arc;

use engine::images::{ImageSet, Member};
use tonic::Status;

use crate::Daemon;
use crate::bridge::Returned;
use crate::builds::{About, Build};
use crate::exporters::{self, Export, Exporting, Facts};
use crate::failure::chain;
use crate::proto::control::{CacheOptions, Exporter, SolveRequest, SolveResponse};
use crate::run::{self, Prepared};
use crate::session::Session;

/// The frontend that is ours.
const DOCKERFILE: &str = "dockerfile.v0";
/// The one that runs others.
const GATEWAY: &str = "gateway.v0";
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
    daemon: &Daemon,
    request: &SolveRequest,
    exporters: &[Exporter],
    session: Option<&Arc<Session>>,
    build: &Build,
) -> Result<Facts, Status> {
    let exports = exporters::read(exporters)?;
    let entitlements = run::entitlements(daemon, &request.entitlements)?;
    refuse_unsupported(request)?;
    tell_of_imports(request.cache.as_ref(), build);
    let prepared = if request.frontend.is_empty() {
        match build.bridge.returned().await {
            Returned::Result(Some(prepared)) => prepared,
            Returned::Result(None) => return Ok(Facts::new()),
            Returned::Error(status) => return Err(status),
        }
    } else {
        check_frontend(&request.frontend, request.frontend_attrs.get("source").map(String::as_str))?;
        let attributes = &request.frontend_attrs;
        Arc::new(run::prepare(daemon, session, attributes, entitlements, &build.feed).await?)
    };
    built(daemon, &prepared, &exports, session, build).await
}

async fn built(
    daemon: &Daemon,
    prepared: &Prepared,
    exports: &[Export],
    session: Option<&Arc<Session>>,
    build: &Build,
) -> Result<Facts, Status> {
    let engine = prepared.engine(daemon)?;
    let outcome = prepared.build(&engine, exporters::stored_names(exports), &build.feed).await?;
    let members = outcome.images.iter().map(|(_, id)| Member { id: *id, predicates: Vec::new() });
    let set = ImageSet { members: members.collect() };
    let exporting = Exporting { engine: &engine, session, feed: &build.feed, image: outcome.image, set };
    let facts = if exports.is_empty() { Ok(Facts::new()) } else { exporting.run(exports).await };
    if !exporters::keep_image(exports) {
        engine.forget_unnamed(&outcome).map_err(|error| Status::internal(chain(&error)))?;
    }
    facts
}

/// Which frontends there are.
pub(crate) fn check_frontend(frontend: &str, source: Option<&str>) -> Result<(), Status> {
    let is_ours = |source: &str| {
        let repository = source.trim_start_matches("docker.io/").split([':', '@']).next().unwrap_or_default();
        source == DOCKERFILE || DOCKERFILE_IMAGES.contains(&repository)
    };
    match (frontend, source) {
        (DOCKERFILE, _) => Ok(()),
        (GATEWAY, Some(source)) if is_ours(source) => Ok(()),
        (GATEWAY, source) => Err(Status::unimplemented(format!(
            "the frontend image `{}` cannot be run: only Dockerfiles are built",
            source.unwrap_or_default()
        ))),
        (other, _) => Err(Status::not_found(format!("invalid frontend: {other}"))),
    }
}

fn refuse_unsupported(request: &SolveRequest) -> Result<(), Status> {
    if request.definition.as_ref().is_some_and(|definition| !definition.def.is_empty()) {
        return Err(Status::unimplemented(
            "a build that is given as LLB is not supported: build a Dockerfile",
        ));
    }
    if request.source_policy.as_ref().is_some_and(|policy| !policy.rules.is_empty()) {
        return Err(Status::unimplemented("source policies are not supported"));
    }
    let exports = request.cache.iter().flat_map(|cache| &cache.exports);
    match exports.into_iter().next() {
        Some(export) => Err(Status::unimplemented(format!("unknown cache exporter: {}", export.r#type))),
        None => Ok(()),
    }
}

/// A cache that cannot be had does not fail a build.
fn tell_of_imports(cache: Option<&CacheOptions>, build: &Build) {
    for import in cache.iter().flat_map(|cache| &cache.imports) {
        let reference = import.attrs.get("ref").map_or("", String::as_str);
        let step = build.feed.begin(&format!("importing cache manifest from {reference}"));
        step.end(Some(format!("unknown cache importer: {}", import.r#type)));
    }
}
