//! What is known of sources before anything runs: `ResolveImageConfig`, `ResolveSourceMeta`.

use std::rc::Rc;
use std::sync::Arc;

use engine::{PullPolicy, default_platform};
use image::{Digest, Platform, Reference, canonical_json};
use tonic::Status;

use super::solve::session;
use crate::Daemon;
use crate::attributes::invalid;
use crate::builds::Build;
use crate::failure;
use crate::llb::platform_of;
use crate::proto::bridge::{
    ResolveImageConfigRequest, ResolveImageConfigResponse, ResolveSourceImageResponse,
    ResolveSourceMetaRequest, ResolveSourceMetaResponse,
};
use crate::proto::pb;
use crate::run;

const IMAGE: &str = "docker-image://";

pub(super) async fn config(
    daemon: Rc<Daemon>,
    build: Arc<Build>,
    request: ResolveImageConfigRequest,
) -> Result<ResolveImageConfigResponse, Status> {
    if request.source_policies.iter().any(|policy| !policy.rules.is_empty()) {
        return Err(Status::unimplemented("source policies are not supported"));
    }
    if !request.store_id.is_empty() {
        return Err(Status::unimplemented(format!(
            "images of the store `{}` of a client are not supported",
            request.store_id
        )));
    }
    let wanted = Wanted { name: &request.r#ref, platform: request.platform, mode: &request.resolve_mode };
    let (digest, config) = resolve(&daemon, &build, wanted).await?;
    Ok(ResolveImageConfigResponse { digest: digest.to_string(), config, r#ref: request.r#ref })
}

pub(super) async fn meta(
    daemon: Rc<Daemon>,
    build: Arc<Build>,
    request: ResolveSourceMetaRequest,
) -> Result<ResolveSourceMetaResponse, Status> {
    if request.source_policies.iter().any(|policy| !policy.rules.is_empty()) {
        return Err(Status::unimplemented("source policies are not supported"));
    }
    let source = request.source.ok_or_else(|| Status::invalid_argument("there is no source to look up"))?;
    let unknown = || Status::unimplemented(format!("nothing is known of the source `{}`", source.identifier));
    let name = source.identifier.strip_prefix(IMAGE).ok_or_else(unknown)?;
    let asked = request.image.unwrap_or_default();
    if asked.attestation_chain || !asked.resolve_attestations.is_empty() {
        return Err(Status::unimplemented("attestations of images are not looked up"));
    }
    let wanted = Wanted { name, platform: request.platform, mode: &request.resolve_mode };
    let (digest, config) = resolve(&daemon, &build, wanted).await?;
    let config = if asked.no_config { Vec::new() } else { config };
    let image = ResolveSourceImageResponse { digest: digest.to_string(), config, attestation_chain: None };
    Ok(ResolveSourceMetaResponse {
        source: Some(source.clone()),
        image: Some(image),
        ..ResolveSourceMetaResponse::default()
    })
}

struct Wanted<'a> {
    name: &'a str,
    platform: Option<pb::Platform>,
    mode: &'a str,
}

/// The digest that a name stands for, and the config of the image for the platform.
async fn resolve(daemon: &Daemon, build: &Build, wanted: Wanted<'_>) -> Result<(Digest, Vec<u8>), Status> {
    let Wanted { name, platform, mode } = wanted;
    let reference: Reference = name.parse().map_err(|_| invalid("ref", name, "the name of an image"))?;
    let platform: Platform = platform.as_ref().map_or_else(default_platform, platform_of);
    let pull = match mode {
        "" | "default" | "local" => PullPolicy::Missing,
        "pull" => PullPolicy::Always,
        other => return Err(invalid("resolve mode", other, "default, pull or local")),
    };
    let session = session(daemon, build).await;
    let engine = run::engine_for(daemon, session.as_ref())?;
    let step = build.feed.begin(&format!("[internal] load metadata for {reference}"));
    let found = engine.image_config(&reference, &platform, pull).await;
    step.end(found.as_ref().err().map(ToString::to_string));
    let (digest, config) = found.map_err(|error| failure::status(&error, None, &build.feed))?;
    Ok((digest, canonical_json(&config)))
}
