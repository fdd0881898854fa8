//! Puts the crates together: build, export, run, prune.
//!
//! An [`Engine`] is one store and what can be done with it. It writes nothing to a terminal: progress is
//! data ([`Event`]), and errors say what happened, not what to do about it.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;

use cache::{Store, StoreError};
use tokio::sync::Semaphore;

mod agent;
mod blocking;
mod build;
mod cdi;
mod check;
mod client;
pub mod containers;
mod context;
mod entitlement;
mod error;
mod event;
pub mod events;
mod expect;
mod fetch;
pub mod images;
mod lines;
mod net;
mod network;
pub mod networks;
mod ops;
mod outlet;
mod place;
mod provenance;
mod redact;
pub mod remote_cache;
pub mod report;
mod request;
mod run;
pub mod sbom;
mod scan;
mod secrets;
mod sources;
pub mod space;
mod steps;
mod sweep;
pub mod volumes;
pub mod why;

pub use ::cache::{Checked, Fault as StoreFault, Problem, Repair};
pub use agent::{Agent, AgentError, Agents, OfferedAgents};
pub use build::{FetchedContext, default_platform, questions};
pub use cache::tree::ContextMode;
pub use cdi::{DeviceError, DeviceGrant};
pub use client::{Client, Named, Provided};
pub use context::{
    BringFiles, Bringing, ByteStream, ClientFiles, Context, IgnoreText, OnBytes, RemoteFiles, StreamContent,
};
pub use entitlement::{Entitlement, Entitlements, UnknownEntitlement};
pub use error::{BuildError, DiskState, SecretError, StepFailure};
pub use event::{Event, Progress, Step, StepId, Stream};
pub use executor::ProfileError;
pub use executor::{NetworkError as SandboxNetworkError, Resources, Swap};
pub use fetch::{FetchError, GitError};
pub use frontend::decode as decode_dockerfile;
pub use frontend::remote::RemoteError;
pub use graph::{Network, Surroundings, Ulimit};
pub use net::{Fault, HttpError};
pub use network::{Dns, HOST_GATEWAY};
pub use place::Place;
pub use provenance::{Provenance, ProvenanceMode};
pub use request::{
    Archive, ArchivePlace, BuildOutcome, BuildRequest, Destination, DockerfileSource, Explaining, GivenGraph,
    ImageOutput, LocalMode, LocalOutput, NamedContext, NoCache, Output, PlatformSplit, PullPolicy, Squash,
    TarOutput,
};
pub use run::{
    Attended, AttendedExit, AttendedMount, Grants, Privileges, Steering, SystemCalls, TakeOutput, WindowSize,
};
pub use secrets::{SECRET_BYTES_MAX, Secret, SecretTooLarge, Secrets};
pub use sources::{ResolvedCommit, ResolvedFile};

/// How registries are reached, see the `registry` crate.
pub mod registries {
    pub use registry::{
        AskCredential, Asked, Client, CredentialError, Credentials, Found, KeyPair, LoginKind, LoginRequest,
        RegistriesError, RegistriesFile, RegistryError, RegistrySettings, Secret, Settings, TlsVerify,
    };
}

/// The graph of a build for those who make one themselves, see the `graph` crate.
pub mod operations {
    pub use frontend::remote::of_repository;
    pub use graph::*;
}

/// Patterns of ignore files, see the `frontend` crate.
pub mod ignore {
    pub use frontend::ignore::{Match, PatternError, Patterns};
}

/// What a process must do before it does anything else, see the `executor` crate.
pub mod sandbox {
    pub use executor::{
        Examination, Feature, NamespaceError, Presence, Rung, SandboxError, become_root, examine,
        inherited_descriptor,
    };

    pub use crate::expect::expect_step;

    /// Does the work of one of our own helper processes if this process was started as one, and then never returns.
    ///
    /// The first statement of `main`, before any thread exists; it costs a few comparisons.
    pub fn dispatch() {
        executor::dispatch();
        crate::containers::dispatch();
    }
}

/// A store and what can be done with it. Cheap to clone; any number may exist at once, in any number of
/// processes.
#[derive(Clone)]
pub struct Engine {
    store: Arc<Store>,
    registries: registry::Client,
    watch: Option<Arc<Watch>>,
    founder: networks::Founder,
    client: Option<Arc<dyn Client>>,
    /// What limits the steps of all builds together.
    parallelism: Option<Arc<Semaphore>>,
}

/// The ceiling of a store, for as long as somebody has it open.
struct Watch {
    store: Arc<Store>,
    collector: space::Collector,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.collector.settle(&self.store);
    }
}

impl Engine {
    /// Opens the store at `root`, or makes one there.
    pub fn open(root: &Path) -> Result<Self, StoreError> {
        let registries = registry::Client::new(registry::Settings::default());
        Ok(Self {
            store: Arc::new(Store::open(root)?),
            registries,
            watch: None,
            client: None,
            parallelism: None,
            founder: networks::Founder::default(),
        })
    }

    /// The same engine, which has the build cache collected when it passes the ceiling: `start` starts a process
    /// that calls [`Engine::collect`], and does not wait for it.
    #[must_use]
    pub fn with_ceiling(self, ceiling: space::Ceiling, start: space::StartCollection) -> Self {
        let collector = space::Collector::new(ceiling, start);
        let watch = Watch { store: self.store.clone(), collector };
        Self { watch: Some(Arc::new(watch)), ..self }
    }

    /// The same engine, of a process that has become root where its networks are.
    #[must_use]
    pub fn with_founder(self, founder: networks::Founder) -> Self {
        Self { founder, ..self }
    }

    /// Something was added to the store, and more will follow.
    pub(crate) fn step_ended(&self) {
        if let Some(watch) = &self.watch {
            watch.collector.step_ended(&self.store);
        }
    }

    /// The same engine, with these settings for registries: without, it has no credentials.
    #[must_use]
    pub fn with_registries(self, settings: registry::Settings) -> Self {
        Self { registries: registry::Client::new(settings), ..self }
    }

    /// The same engine, which asks a client for the secrets and agents that a request does not have.
    #[must_use]
    pub fn with_client(self, client: Arc<dyn Client>) -> Self {
        Self { client: Some(client), ..self }
    }

    /// The same engine, of which all builds together, and those of engines that are made of it, run so many steps at the
    /// same time.
    #[must_use]
    pub fn with_max_parallelism(self, steps: NonZeroUsize) -> Self {
        let steps = steps.get().min(Semaphore::MAX_PERMITS);
        Self { parallelism: Some(Arc::new(Semaphore::new(steps))), ..self }
    }

    /// The same engine with an opening of the store of its own.
    ///
    /// What an opening of the store has found stays until that opening ends, so who lives long works with one for each
    /// build.
    ///
    /// # Errors
    ///
    /// As [`Engine::open`].
    pub fn anew(&self) -> Result<Self, StoreError> {
        Ok(Self { store: Arc::new(Store::open(self.root())?), ..self.clone() })
    }

    /// Where the store is.
    pub fn root(&self) -> &Path {
        self.store.root()
    }
}
