//! BuildKit's gRPC API in front of the engine: stock clients build with it, without knowing.
//!
//! One thread serves all clients; builds run as tasks of their calls, so that a client that is gone takes its builds
//! with it. Everything that blocks is elsewhere.

mod attestations;
mod attributes;
mod blocking;
mod bridge;
mod builds;
mod caches;
pub mod client;
mod content;
mod control;
mod exporters;
mod failure;
mod feed;
mod form;
mod gateway;
mod layouts;
mod listen;
pub mod llb;
mod local;
mod proto;
mod run;
mod server;
mod session;
mod tls;
mod wire;

use std::collections::BTreeMap;
use std::io;
use std::num::NonZeroUsize;
use std::rc::Rc;
use std::sync::Arc;

use engine::space::PruneOptions;
use engine::{Engine, Entitlement, registries};
use image::{Hasher, Platform};
use tokio_rustls::TlsAcceptor;
use tonic::Status;

use builds::Builds;
pub use caches::{KeyedCaches, Pairs};
use failure::chain;
use listen::Listener;
pub use listen::{Address, InvalidAddress, SocketOwner};
use session::{KeptDirectories, Sessions};
pub use tls::{ClientTls, TlsError, TlsFiles};

/// Where the files of clients are kept, beneath the root of the store.
const KEPT: &str = "clients";

/// How a daemon works.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Where it listens.
    pub addresses: Vec<Address>,
    /// Whose the sockets in the file system are.
    pub socket_owner: SocketOwner,
    /// Who it is for clients that come over TCP. Without, they are served without TLS.
    pub tls: Option<TlsFiles>,
    /// How registries are reached. Credentials of clients go before those that are here.
    pub registries: registries::Settings,
    /// What clients may allow their builds.
    pub entitlements: Vec<Entitlement>,
    /// What the worker says of itself beside what is known.
    pub labels: BTreeMap<String, String>,
    /// The platforms that the worker says it builds for; that of this machine when there are none.
    pub platforms: Vec<Platform>,
    /// Steps of all builds together that run at the same time.
    pub max_parallelism: Option<NonZeroUsize>,
    /// Who reads what clients say of caches in object stores. Without, there are none.
    pub keyed_caches: Option<KeyedCaches>,
}

/// Why a daemon does not start.
#[derive(Debug, thiserror::Error)]
pub enum DaemonError {
    /// It cannot listen where it should.
    #[error("cannot listen at `{address}`")]
    Listen {
        /// Where.
        address: Address,
        /// The cause.
        source: io::Error,
    },
    /// It cannot say who it is.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// There is no place for the files of clients.
    #[error("cannot make a place for the files of clients")]
    Kept {
        /// The cause.
        source: io::Error,
    },
}

/// What all calls share.
pub(crate) struct Daemon {
    /// What the engine of a build is made of. It never looks into the store: what it found there would stay for as long
    /// as the daemon lives.
    template: Engine,
    pub(crate) settings: Settings,
    /// Who we are, for clients that have several.
    pub(crate) worker: String,
    pub(crate) sessions: Arc<Sessions>,
    pub(crate) builds: Arc<Builds>,
    pub(crate) kept: Arc<KeptDirectories>,
    pub(crate) tls: Option<TlsAcceptor>,
}

impl Daemon {
    /// What is removed of the cache when there is too much of it, as far as that is known.
    pub(crate) fn collection_rules(&self) -> Vec<PruneOptions> {
        self.template.collection_rules().unwrap_or_else(|error| {
            tracing::warn!(%error, "cannot tell the limits of the build cache");
            Vec::new()
        })
    }

    /// An engine for one piece of work.
    pub(crate) fn engine(&self) -> Result<Engine, Status> {
        self.template.anew().map_err(|error| Status::internal(chain(&error)))
    }
}

/// Serves clients until the future is dropped: their builds are canceled then, and nothing is left of them.
/// `on_ready` hears where, once clients can connect.
///
/// # Errors
///
/// When it cannot listen.
pub async fn serve(
    engine: Engine,
    settings: Settings,
    on_ready: impl FnOnce(&[String]),
) -> Result<(), DaemonError> {
    let root = engine.root().to_owned();
    let kept = KeptDirectories::open(root.join(KEPT)).map_err(|source| DaemonError::Kept { source })?;
    let tls = settings.tls.as_ref().map(TlsFiles::acceptor).transpose()?;
    let engine = match settings.max_parallelism {
        Some(steps) => engine.with_max_parallelism(steps),
        None => engine,
    };
    let mut listeners = Vec::new();
    for address in &settings.addresses {
        let listener = Listener::bind(address, settings.socket_owner).await;
        listeners.push(listener.map_err(|source| DaemonError::Listen { address: address.clone(), source })?);
    }
    let worker = Hasher::new("worker/v1").field("root", root.as_os_str().as_encoded_bytes()).finish();
    let daemon = Rc::new(Daemon {
        template: engine,
        settings,
        worker: worker.hex()[..25].to_owned(),
        sessions: Arc::new(Sessions::new()),
        builds: Arc::new(Builds::new()),
        kept: Arc::new(kept),
        tls,
    });
    on_ready(&listeners.iter().map(Listener::place).collect::<Vec<_>>());
    let tasks = tokio::task::LocalSet::new();
    let accepting = listeners.into_iter().map(|listener| server::accept(daemon.clone(), listener));
    tasks.run_until(futures_util::future::join_all(accepting)).await;
    Ok(())
}
