//! `LLBBridge.Solve`: what a frontend makes, to be looked at or returned.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;

use tonic::Status;

use super::{BridgeResult, Results, Returned, own_definition, questions};
use crate::Daemon;
use crate::builds::Build;
use crate::control::{Frontend, frontend};
use crate::gateway::{self, Wish};
use crate::proto::bridge::result::Result as AnyRef;
use crate::proto::bridge::{Ref, RefMap, Result as Answer, SolveRequest, SolveResponse};
use crate::proto::control::CacheOptionsEntry;
use crate::proto::pb::Definition;
use crate::run::{self, Asked, Defined, Prepared};
use crate::session::Session;

/// The attribute that asks a question instead of a build.
const QUESTION: &str = "requestid";

/// Prepares a build, or answers a question about one.
pub(super) async fn solve(
    daemon: Rc<Daemon>,
    build: Arc<Build>,
    request: SolveRequest,
) -> Result<SolveResponse, Status> {
    if request.source_policies.iter().any(|policy| !policy.rules.is_empty()) {
        return Err(Status::unimplemented("source policies are not supported"));
    }
    if let Some(definition) = request.definition.as_ref().filter(|definition| !definition.def.is_empty()) {
        let result = defined(&daemon, &build, definition, named_imports(&request).collect()).await?;
        let name = build.bridge.adopt(result.clone())?;
        if request.evaluate {
            result.image(&daemon, &build).await?;
        }
        return Ok(answer(&build, &request, name));
    }
    if request.frontend.is_empty() {
        return Ok(SolveResponse { result: Some(Answer::default()), ..SolveResponse::default() });
    }
    let attributes = &request.frontend_opt;
    if let Frontend::Image(source) = frontend(&request.frontend, attributes)? {
        return foreign(&daemon, &build, &request, source).await;
    }
    if let Some(question) = attributes.get(QUESTION) {
        questions::check(question)?;
    }
    let prepared = prepare(&daemon, &build, &request).await?;
    if let Some(question) = attributes.get(QUESTION) {
        let metadata = questions::answer(&daemon, &prepared, question, &build.feed).await?;
        let answer = Answer { metadata, ..Answer::default() };
        return Ok(SolveResponse { result: Some(answer), ..SolveResponse::default() });
    }
    let (name, result) = build.bridge.add(prepared)?;
    if request.evaluate {
        result.image(&daemon, &build).await?;
    }
    Ok(answer(&build, &request, name))
}

/// What a frontend of others makes.
async fn foreign(
    daemon: &Rc<Daemon>,
    build: &Arc<Build>,
    request: &SolveRequest,
    source: &str,
) -> Result<SolveResponse, Status> {
    let session = session(daemon, build).await;
    let inputs = request.frontend_inputs.clone();
    let wish = Wish { source, attributes: &request.frontend_opt, inputs };
    let Results { by_platform, metadata } =
        match Box::pin(gateway::run(daemon, session.as_ref(), wish, build)).await? {
            Returned::Results(results) => results,
            Returned::Error(status) => return Err(status),
        };
    let mut refs = BTreeMap::new();
    for (platform, prepared) in by_platform {
        let result = Arc::new(BridgeResult::of(prepared));
        let name = build.bridge.adopt(result.clone())?;
        if request.evaluate {
            result.image(daemon, build).await?;
        }
        refs.insert(platform, Ref { def: Some(own_definition::encode(&build.name, &name)), id: name });
    }
    let result = match refs.remove("") {
        Some(only) => Some(AnyRef::Ref(only)),
        None if refs.is_empty() => None,
        None => Some(AnyRef::Refs(RefMap { refs: refs.into_iter().collect() })),
    };
    let answer = Answer { result, metadata, ..Answer::default() };
    Ok(SolveResponse { result: Some(answer), ..SolveResponse::default() })
}

/// A result by its definition: one that the client had before, or a new one.
pub(super) async fn defined(
    daemon: &Daemon,
    build: &Build,
    definition: &Definition,
    imports: Vec<CacheOptionsEntry>,
) -> Result<Arc<BridgeResult>, Status> {
    if let Some((of_build, name)) = own_definition::decode(definition) {
        return daemon.builds.get(&of_build).await?.bridge.get(&name);
    }
    let session = session(daemon, build).await;
    let entitlements = run::entitlements(daemon, &build.about.entitlements)?;
    let imports = build.about.imports.iter().cloned().chain(imports).collect();
    let defined = Defined { definition, entitlements, imports };
    let prepared = Box::pin(run::prepare_definition(daemon, session.as_ref(), defined, &build.feed)).await?;
    Ok(Arc::new(BridgeResult::new(prepared)))
}

pub(super) async fn session(daemon: &Daemon, build: &Build) -> Option<Arc<Session>> {
    match build.about.session.as_str() {
        "" => None,
        id => Some(daemon.sessions.get(id).await),
    }
}

fn named_imports(request: &SolveRequest) -> impl Iterator<Item = CacheOptionsEntry> + use<'_> {
    let named = request.cache_imports.iter();
    named.map(|it| CacheOptionsEntry { r#type: it.r#type.clone(), attrs: it.attrs.clone() })
}

async fn prepare(daemon: &Daemon, build: &Build, request: &SolveRequest) -> Result<Prepared, Status> {
    let session = session(daemon, build).await;
    let entitlements = run::entitlements(daemon, &build.about.entitlements)?;
    let named = named_imports(request);
    let asked = Asked {
        attributes: &request.frontend_opt,
        entitlements,
        imports: build.about.imports.iter().cloned().chain(named).collect(),
        inputs: super::handed_back(daemon, build, &request.frontend_inputs).await?,
    };
    run::prepare(daemon, session.as_ref(), asked, &build.feed).await
}

/// The result in the form that the client understands.
fn answer(build: &Build, request: &SolveRequest, name: String) -> SolveResponse {
    if !request.allow_result_return {
        return SolveResponse { r#ref: name, result: None };
    }
    let result = match request.allow_result_array_ref {
        true => {
            let def = Some(own_definition::encode(&build.name, &name));
            AnyRef::Ref(Ref { id: name, def })
        }
        false => AnyRef::RefDeprecated(name),
    };
    let answer = Answer { result: Some(result), ..Answer::default() };
    SolveResponse { result: Some(answer), ..SolveResponse::default() }
}
