//! What is known of sources before anything runs: `ResolveImageConfig`, `ResolveSourceMeta`.

use std::rc::Rc;
use std::sync::Arc;

use engine::operations::Op;
use engine::{Engine, PullPolicy, default_platform};
use image::{Platform, Reference, canonical_json};
use tonic::Status;

use super::solve::session;
use crate::Daemon;
use crate::attributes::invalid;
use crate::builds::Build;
use crate::failure::{self, chain};
use crate::layouts::{self, LayoutImage};
use crate::llb::{self, platform_of};
use crate::proto::bridge::{
    ResolveImageConfigRequest, ResolveImageConfigResponse, ResolveSourceGitResponse,
    ResolveSourceHttpResponse, ResolveSourceImageResponse, ResolveSourceMetaRequest,
    ResolveSourceMetaResponse,
};
use crate::proto::pb::{self, SourceOp};
use crate::run;

const IMAGE: &str = "docker-image://";
const LAYOUT: &str = "oci-layout://";
/// Attributes of an image of a client's layout.
const STORE: &str = "oci.store";
const SESSION: &str = "oci.session";

pub(super) async fn config(
    daemon: Rc<Daemon>,
    build: Arc<Build>,
    request: ResolveImageConfigRequest,
) -> Result<ResolveImageConfigResponse, Status> {
    if request.source_policies.iter().any(|policy| !policy.rules.is_empty()) {
        return Err(Status::unimplemented("source policies are not supported"));
    }
    let ResolveImageConfigRequest { platform, resolve_mode, store_id, session_id, .. } = request;
    let asking = Asking { daemon: &daemon, build: &build, platform: platform.as_ref() };
    let (digest, config) = match store_id.as_str() {
        "" => asking.image(&request.r#ref, &resolve_mode).await?,
        store => asking.layout(&request.r#ref, Some(store), &session_id).await?,
    };
    Ok(ResolveImageConfigResponse { digest, config, r#ref: request.r#ref })
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
    let asking = Asking { daemon: &daemon, build: &build, platform: request.platform.as_ref() };
    let asked = request.image.unwrap_or_default();
    if asked.attestation_chain || !asked.resolve_attestations.is_empty() {
        return Err(Status::unimplemented("attestations of images are not looked up"));
    }
    let answer = ResolveSourceMetaResponse { source: Some(source.clone()), ..Default::default() };
    let attribute = |name: &str| source.attrs.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let found = if let Some(name) = source.identifier.strip_prefix(IMAGE) {
        asking.image(name, &request.resolve_mode).await?
    } else if let Some(name) = source.identifier.strip_prefix(LAYOUT) {
        asking.layout(name, attribute(STORE), attribute(SESSION).unwrap_or_default()).await?
    } else {
        if request.git.is_some_and(|git| git.return_object) {
            return Err(Status::unimplemented("the bytes of commits and tags are not looked up"));
        }
        if request.http.is_some_and(|http| http.checksum_request.is_some()) {
            return Err(Status::unimplemented("files have no checksums but SHA-256"));
        }
        return asking.other(&source, answer).await;
    };
    let (digest, config) = found;
    let config = if asked.no_config { Vec::new() } else { config };
    let image = ResolveSourceImageResponse { digest, config, attestation_chain: None };
    Ok(ResolveSourceMetaResponse { image: Some(image), ..answer })
}

/// Who asks, and for which platform.
struct Asking<'a> {
    daemon: &'a Daemon,
    build: &'a Build,
    platform: Option<&'a pb::Platform>,
}

impl Asking<'_> {
    fn platform(&self) -> Platform {
        self.platform.map_or_else(default_platform, platform_of)
    }

    async fn engine(&self) -> Result<Engine, Status> {
        let session = session(self.daemon, self.build).await;
        run::engine_for(self.daemon, session.as_ref())
    }

    /// The digest that a name stands for, and the config of the image for the platform.
    async fn image(&self, name: &str, mode: &str) -> Result<(String, Vec<u8>), Status> {
        let reference: Reference = name.parse().map_err(|_| invalid("ref", name, "the name of an image"))?;
        let pull = match mode {
            "" | "default" | "local" => PullPolicy::Missing,
            "pull" => PullPolicy::Always,
            other => return Err(invalid("resolve mode", other, "default, pull or local")),
        };
        let engine = self.engine().await?;
        let feed = &self.build.feed;
        let step = feed.begin(&format!("[internal] load metadata for {reference}"));
        let found = engine.image_config(&reference, &self.platform(), pull).await;
        step.end(found.as_ref().err().map(ToString::to_string));
        let (digest, config) = found.map_err(|error| failure::status(&error, None, feed))?;
        Ok((digest.to_string(), canonical_json(&config)))
    }

    /// The same of an image of a client's layout.
    async fn layout(
        &self,
        name: &str,
        store: Option<&str>,
        session_id: &str,
    ) -> Result<(String, Vec<u8>), Status> {
        let mut image = LayoutImage::parse(name)?;
        if let Some(store) = store {
            store.clone_into(&mut image.store);
        }
        let session = match session_id {
            "" => session(self.daemon, self.build).await,
            id => Some(self.daemon.sessions.get(id).await),
        };
        let without = || Status::invalid_argument("an image of a client's layout needs a session");
        let session = session.ok_or_else(without)?;
        let config = layouts::config(&session, &image, &self.platform()).await?;
        Ok((image.digest.to_string(), config))
    }

    /// What is known of a source that is no image; of a directory of the client there is nothing to know.
    async fn other(
        &self,
        source: &SourceOp,
        answer: ResolveSourceMetaResponse,
    ) -> Result<ResolveSourceMetaResponse, Status> {
        let op = llb::source(source, &self.platform());
        let failed = |error: &engine::BuildError| failure::status(error, None, &self.build.feed);
        match op.map_err(|error| Status::invalid_argument(chain(&error)))? {
            Op::Git(source) => {
                let found = self.engine().await?.resolve_commit(&source).await;
                let found = found.map_err(|error| failed(&error))?;
                let git = ResolveSourceGitResponse {
                    checksum: found.commit.clone(),
                    r#ref: found.reference.unwrap_or_else(|| found.commit.clone()),
                    commit_checksum: found.commit,
                    ..ResolveSourceGitResponse::default()
                };
                Ok(ResolveSourceMetaResponse { git: Some(git), ..answer })
            }
            Op::Http(source) => {
                let found = self.engine().await?.resolve_file(&source).await;
                let found = found.map_err(|error| failed(&error))?;
                let http = ResolveSourceHttpResponse {
                    checksum: found.checksum.to_string(),
                    filename: found.name,
                    ..ResolveSourceHttpResponse::default()
                };
                Ok(ResolveSourceMetaResponse { http: Some(http), ..answer })
            }
            _ => Ok(answer),
        }
    }
}
