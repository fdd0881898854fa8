//! A build in a daemon.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use engine::registries::Credentials;
use engine::{Agents, OfferedAgents, Progress, Secrets};
use image::Hasher;
use prost::Message as _;

use super::layouts::Layouts;
use super::news::News;
use super::offer::Offer;
use super::stores::Stores;
use super::take::Target;
use super::{Client, ClientError};
use crate::proto::control::{
    CacheOptions, CacheOptionsEntry, Exporter, SolveRequest, SolveResponse, StatusRequest, StatusResponse,
};
use crate::proto::pb::{Definition, OpMetadata};

const SOLVE: &str = "/moby.buildkit.v1.Control/Solve";
const STATUS: &str = "/moby.buildkit.v1.Control/Status";
/// How long the rest of the progress may take after the result.
const STATUS_WAIT: Duration = Duration::from_secs(30);
/// Where the kernel has names that nobody else has.
const RANDOM: &str = "/proc/sys/kernel/random/uuid";

/// What is to be built, and what the daemon may have of us for it.
#[derive(Debug, Clone, Default)]
pub struct BuildOrder {
    /// Who makes a build of the attributes; empty for a definition.
    pub frontend: String,
    /// What the frontend is told.
    pub attributes: BTreeMap<String, String>,
    /// A build as BuildKit has it, in bytes.
    pub definition: Option<Vec<u8>>,
    /// Whether no result of before counts.
    pub is_uncached: bool,
    /// Directories by the names that the daemon asks for.
    pub directories: BTreeMap<String, PathBuf>,
    /// What becomes of the result.
    pub outputs: Vec<OutputOrder>,
    /// Caches to write.
    pub cache_exports: Vec<CacheOrder>,
    /// Caches to read.
    pub cache_imports: Vec<CacheOrder>,
    /// What the build may do to the daemon's machine, if that lets it.
    pub entitlements: Vec<String>,
    /// What steps may mount.
    pub secrets: Secrets,
    /// Who signs for steps.
    pub agents: Agents,
    /// Who we are for registries.
    pub credentials: Credentials,
    /// OCI layouts, by the names that the build has for them.
    pub layouts: BTreeMap<String, PathBuf>,
}

/// An output of a build.
#[derive(Debug, Clone)]
pub struct OutputOrder {
    /// BuildKit's name of its kind.
    pub kind: String,
    /// What is said of it.
    pub attributes: BTreeMap<String, String>,
    /// Where we put it, where it comes here.
    pub target: Option<Target>,
}

/// A cache outside the daemon.
#[derive(Debug, Clone)]
pub struct CacheOrder {
    /// BuildKit's name of its kind.
    pub kind: String,
    /// What is said of it.
    pub attributes: BTreeMap<String, String>,
}

impl Client {
    /// Has something built. Dropping the future cancels the build. Returns what is said of the result.
    ///
    /// # Errors
    ///
    /// When the build fails, or the daemon is lost.
    pub async fn build(
        &self,
        order: BuildOrder,
        progress: Progress,
    ) -> Result<BTreeMap<String, String>, ClientError> {
        let unknown = |source| ClientError::Offer { what: "a session".to_owned(), source };
        let (build, session) = (random().map_err(unknown)?, random().map_err(unknown)?);
        let layouts = Layouts::of(&order)?;
        let request = request(&order, &layouts, &build, &session)?;
        let offer = offer(order, &layouts, session)?;
        let serving = tokio::task::spawn_local(offer.serve(self.caller.clone()));
        let _serving = Aborting(&serving);
        let mut news = News::new(progress);
        let following = async {
            let messages = self.stream::<_, StatusResponse>(STATUS, StatusRequest { r#ref: build }).await;
            let mut messages = match messages {
                Ok(messages) => messages,
                Err(status) => return tracing::debug!(%status, "no progress"),
            };
            // A build whose progress is lost has a result all the same.
            while let Ok(Some(message)) = messages.message().await {
                news.tell(message);
            }
        };
        let solving = self.caller.unary::<_, SolveResponse>(SOLVE, request);
        tokio::pin!(following, solving);
        let solved = tokio::select! {
            solved = &mut solving => {
                if tokio::time::timeout(STATUS_WAIT, &mut following).await.is_err() {
                    tracing::debug!("the progress of the build does not end");
                }
                solved
            }
            () = &mut following => solving.await,
        };
        let facts = solved?.exporter_response.into_iter().collect();
        layouts.name(&facts)?;
        Ok(facts)
    }
}

/// A task that ends with this value.
struct Aborting<'a, T>(&'a tokio::task::JoinHandle<T>);

impl<T> Drop for Aborting<'_, T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

fn random() -> io::Result<String> {
    Ok(fs::read_to_string(RANDOM)?.chars().filter(char::is_ascii_alphanumeric).collect())
}

fn request(
    order: &BuildOrder,
    layouts: &Layouts,
    build: &str,
    session: &str,
) -> Result<SolveRequest, ClientError> {
    let entry = |cache: &CacheOrder| CacheOptionsEntry {
        r#type: cache.kind.clone(),
        attrs: cache.attributes.clone().into_iter().collect(),
    };
    let exporters = order.outputs.iter().map(|output| Exporter {
        r#type: output.kind.clone(),
        attrs: output.attributes.clone().into_iter().collect(),
    });
    let exporters: Vec<_> = exporters.collect();
    let definition =
        order.definition.as_deref().map(|bytes| definition(bytes, order.is_uncached)).transpose()?;
    let mut frontend_attrs: std::collections::HashMap<_, _> = order.attributes.clone().into_iter().collect();
    if order.is_uncached && definition.is_none() {
        frontend_attrs.entry("no-cache".to_owned()).or_default();
    }
    let first = exporters.first().cloned().unwrap_or_default();
    Ok(SolveRequest {
        r#ref: build.to_owned(),
        session: session.to_owned(),
        definition,
        // Older daemons know only one.
        exporter_deprecated: first.r#type,
        exporter_attrs_deprecated: first.attrs,
        exporters,
        frontend: order.frontend.clone(),
        frontend_attrs,
        cache: Some(CacheOptions {
            exports: order.cache_exports.iter().map(entry).collect(),
            imports: layouts.cache_imports.iter().map(entry).collect(),
            ..CacheOptions::default()
        }),
        entitlements: order.entitlements.clone(),
        ..SolveRequest::default()
    })
}

/// Reads a definition, of which no operation may be cached where that is so.
fn definition(bytes: &[u8], is_uncached: bool) -> Result<Definition, ClientError> {
    let wrong = |error: prost::DecodeError| ClientError::Offer {
        what: "a definition".to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidData, error),
    };
    let mut definition = Definition::decode(bytes).map_err(wrong)?;
    for operation in definition.def.iter().filter(|_| is_uncached) {
        let digest = image::Digest::of(operation).to_string();
        let metadata: &mut OpMetadata = definition.metadata.entry(digest).or_default();
        metadata.ignore_cache = true;
    }
    Ok(definition)
}

fn offer(order: BuildOrder, layouts: &Layouts, id: String) -> Result<Arc<Offer>, ClientError> {
    let failed = |source| ClientError::Offer { what: "agents".to_owned(), source };
    let shared = order.directories.iter().fold(Hasher::new("shared-key/v1"), |hasher, (name, path)| {
        hasher.field("name", name.as_bytes()).field("path", path.as_os_str().as_encoded_bytes())
    });
    Ok(Arc::new(Offer {
        id,
        shared_key: shared.finish().hex(),
        directories: order.directories,
        secrets: order.secrets,
        agents: OfferedAgents::new(&order.agents).map_err(failed)?,
        credentials: order.credentials,
        targets: order.outputs.into_iter().map(|output| output.target).collect(),
        stores: Stores(layouts.stores.clone()),
    }))
}
