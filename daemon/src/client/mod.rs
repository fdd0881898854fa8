//! The other side: a client of a daemon, of this one or of BuildKit's.
//!
//! One thread runs all of it, inside a `LocalSet`.

mod build;
mod choose;
mod definition;
mod layouts;
mod news;
mod offer;
mod stores;
mod take;

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::{Duration, SystemTime};

use futures_util::stream;
use prost::Message;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;
use tonic::{Request, Status, Streaming};

use crate::failure::excerpt;
use crate::proto::control::{
    DiskUsageRequest, DiskUsageResponse, InfoRequest, InfoResponse, ListWorkersRequest, ListWorkersResponse,
    PruneRequest, UsageRecord,
};
use crate::proto::types::{BuildkitVersion, GcPolicy};
use crate::proto::{pb, system_time};
use crate::tls::{ClientTls, TlsError};
use crate::wire::{Caller, client};
pub use build::{BuildOrder, CacheOrder, OutputOrder};
pub use definition::{Described, describe_definition};
pub use stores::{Access, Store};
pub use take::Target;

const INFO: &str = "/moby.buildkit.v1.Control/Info";
const LIST_WORKERS: &str = "/moby.buildkit.v1.Control/ListWorkers";
const DISK_USAGE: &str = "/moby.buildkit.v1.Control/DiskUsage";
const PRUNE: &str = "/moby.buildkit.v1.Control/Prune";

/// Where a daemon listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DaemonPlace {
    /// `unix://PATH`.
    Unix(PathBuf),
    /// `tcp://HOST:PORT`.
    Tcp(String),
}

/// A text that is no place of a daemon, or one that only another program reaches.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid address `{text}`, expected unix://PATH or tcp://HOST:PORT")]
pub struct InvalidPlace {
    text: String,
}

impl FromStr for DaemonPlace {
    type Err = InvalidPlace;

    fn from_str(text: &str) -> Result<Self, InvalidPlace> {
        let invalid = || InvalidPlace { text: text.to_owned() };
        match text.split_once("://").ok_or_else(invalid)? {
            ("unix", path) if !path.is_empty() => Ok(Self::Unix(path.into())),
            ("tcp", place) if place.contains(':') => Ok(Self::Tcp(place.to_owned())),
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for DaemonPlace {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(out, "unix://{}", path.display()),
            Self::Tcp(place) => write!(out, "tcp://{place}"),
        }
    }
}

/// Why a daemon did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody can be talked to.
    #[error("cannot connect to {place}")]
    Connect {
        /// Where.
        place: DaemonPlace,
        /// The cause.
        source: io::Error,
    },
    /// Who we are cannot be said.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Something of ours cannot be offered.
    #[error("cannot offer {what} to the daemon")]
    Offer {
        /// What.
        what: String,
        /// The cause.
        source: io::Error,
    },
    /// It said no.
    #[error("{message}")]
    Refused {
        /// In its words.
        message: String,
        /// The lines of the file that it is about, as BuildKit's clients show them.
        excerpt: Option<String>,
    },
    /// The connection was lost.
    #[error("the daemon does not answer: {message}")]
    Lost {
        /// What was seen of that.
        message: String,
    },
}

impl From<Status> for ClientError {
    fn from(status: Status) -> Self {
        let message = status.message().to_owned();
        // What the connection says has a cause; what the other side says has none.
        match std::error::Error::source(&status) {
            Some(source) => Self::Lost { message: source.to_string() },
            None => Self::Refused { message, excerpt: excerpt(&status) },
        }
    }
}

/// The version of a daemon.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Version {
    /// Whose program it is.
    pub package: String,
    /// With its `v`.
    pub version: String,
    /// Of the source.
    pub revision: String,
}

/// Something in a daemon that builds.
#[derive(Debug, Clone)]
pub struct Worker {
    /// By which it is named.
    pub id: String,
    /// What it builds for.
    pub platforms: Vec<String>,
    /// What it says of itself.
    pub labels: BTreeMap<String, String>,
    /// Its version.
    pub version: Version,
    /// What it removes of its cache when there is too much of it, in this order.
    pub rules: Vec<CollectionRule>,
}

/// A rule of the collection of a daemon's cache; a limit of nothing is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionRule {
    /// Also what images stand on.
    pub all: bool,
    /// Only what one of these is true of.
    pub filters: Vec<String>,
    /// Only what was not used for so long.
    pub keep_duration: Duration,
    /// So much stays.
    pub reserved_bytes: u64,
    /// No more than this stays.
    pub max_used_bytes: u64,
    /// So much of the disk is to be free.
    pub min_free_bytes: u64,
}

/// Something in the cache of a daemon.
#[derive(Debug, Clone)]
pub struct Usage {
    /// By which it is named.
    pub id: String,
    /// What it was made of.
    pub parents: Vec<String>,
    /// Whether it can still change.
    pub is_mutable: bool,
    /// Whether it cannot be removed now.
    pub is_in_use: bool,
    /// Whether others have a part of it.
    pub is_shared: bool,
    /// Bytes.
    pub size_bytes: u64,
    /// When it was made.
    pub created: Option<SystemTime>,
    /// When it was of use for the last time.
    pub last_used: Option<SystemTime>,
    /// How often.
    pub usage_count: i64,
    /// For people.
    pub description: String,
    /// BuildKit's name of its kind.
    pub kind: String,
}

/// What may go of the cache of a daemon.
#[derive(Debug, Clone, Default)]
pub struct PruneOrder {
    /// In containerd's words.
    pub filters: Vec<String>,
    /// Also what is internal.
    pub all: bool,
    /// What was used in this time stays; nanoseconds.
    pub keep_duration_ns: i64,
    /// So many bytes stay.
    pub reserved_bytes: i64,
    /// More than so many go.
    pub max_used_bytes: i64,
    /// So many bytes of the disk shall be free.
    pub min_free_bytes: i64,
}

/// A connection with a daemon. It ends with this value, and with it whatever the daemon does for it.
pub struct Client {
    caller: Caller,
    connection: JoinHandle<()>,
}

impl Drop for Client {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Client {
    /// Connects with a daemon, over TCP with TLS when there is a way to know who it is.
    ///
    /// # Errors
    ///
    /// When nobody is there, or not who should be.
    pub async fn connect(place: &DaemonPlace, tls: Option<&ClientTls>) -> Result<Self, ClientError> {
        let failed = |source| ClientError::Connect { place: place.clone(), source };
        match (place, tls) {
            (DaemonPlace::Unix(path), _) => {
                Self::over(UnixStream::connect(path).await.map_err(failed)?, place).await
            }
            (DaemonPlace::Tcp(address), None) => {
                Self::over(dial(address).await.map_err(failed)?, place).await
            }
            (DaemonPlace::Tcp(address), Some(tls)) => {
                let (connector, name) = tls.connector(address)?;
                let connection = dial(address).await.map_err(failed)?;
                Self::over(connector.connect(name, connection).await.map_err(failed)?, place).await
            }
        }
    }

    async fn over(
        connection: impl crate::listen::Connection + 'static,
        place: &DaemonPlace,
    ) -> Result<Self, ClientError> {
        let failed = |error| ClientError::Connect { place: place.clone(), source: io::Error::other(error) };
        let (caller, connection) = client(connection).await.map_err(failed)?;
        let connection = tokio::task::spawn_local(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "the connection ended early");
            }
        });
        Ok(Self { caller, connection })
    }

    async fn stream<Q, A>(&self, method: &'static str, message: Q) -> Result<Streaming<A>, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let messages = stream::once(std::future::ready(message));
        self.caller.bidi(method, Request::new(messages)).await
    }

    /// The version of the daemon.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn info(&self) -> Result<Version, ClientError> {
        let info: InfoResponse = self.caller.unary(INFO, InfoRequest {}).await?;
        Ok(info.buildkit_version.map(version).unwrap_or_default())
    }

    /// Its workers.
    ///
    /// # Errors
    ///
    /// When it does not answer.
    pub async fn workers(&self, filters: Vec<String>) -> Result<Vec<Worker>, ClientError> {
        let answer: ListWorkersResponse =
            self.caller.unary(LIST_WORKERS, ListWorkersRequest { filter: filters }).await?;
        let workers = answer.record.into_iter().map(|record| Worker {
            id: record.id,
            platforms: record.platforms.iter().map(platform).collect(),
            labels: record.labels.into_iter().collect(),
            version: record.buildkit_version.map(version).unwrap_or_default(),
            rules: record.gc_policy.into_iter().map(rule).collect(),
        });
        Ok(workers.collect())
    }

    /// What is in its cache.
    ///
    /// # Errors
    ///
    /// When it does not answer, or a filter is none.
    pub async fn disk_usage(&self, filters: Vec<String>) -> Result<Vec<Usage>, ClientError> {
        let request = DiskUsageRequest { filter: filters, ..DiskUsageRequest::default() };
        let answer: DiskUsageResponse = self.caller.unary(DISK_USAGE, request).await?;
        Ok(answer.record.into_iter().map(usage).collect())
    }

    /// Removes what may go, and tells of each thing that is gone.
    ///
    /// # Errors
    ///
    /// As [`Client::disk_usage`].
    pub async fn prune(&self, order: PruneOrder, mut on_gone: impl FnMut(Usage)) -> Result<(), ClientError> {
        let request = PruneRequest {
            filter: order.filters,
            all: order.all,
            keep_duration: order.keep_duration_ns,
            reserved_space: order.reserved_bytes,
            max_used_space: order.max_used_bytes,
            min_free_space: order.min_free_bytes,
        };
        let mut gone = self.stream::<_, UsageRecord>(PRUNE, request).await?;
        while let Some(record) = gone.message().await? {
            on_gone(usage(record));
        }
        Ok(())
    }
}

async fn dial(address: &str) -> io::Result<TcpStream> {
    let connection = TcpStream::connect(address).await?;
    connection.set_nodelay(true)?;
    Ok(connection)
}

fn rule(policy: GcPolicy) -> CollectionRule {
    let positive = |value: i64| u64::try_from(value).unwrap_or(0);
    CollectionRule {
        all: policy.all,
        filters: policy.filters,
        keep_duration: Duration::from_nanos(positive(policy.keep_duration)),
        reserved_bytes: positive(policy.reserved_space),
        max_used_bytes: positive(policy.max_used_space),
        min_free_bytes: positive(policy.min_free_space),
    }
}

fn version(version: BuildkitVersion) -> Version {
    Version { package: version.package, version: version.version, revision: version.revision }
}

fn platform(platform: &pb::Platform) -> String {
    let parts = [&platform.os, &platform.architecture, &platform.variant];
    parts.into_iter().filter(|part| !part.is_empty()).map(String::as_str).collect::<Vec<_>>().join("/")
}

fn usage(record: UsageRecord) -> Usage {
    Usage {
        id: record.id,
        parents: record.parents,
        is_mutable: record.mutable,
        is_in_use: record.in_use,
        is_shared: record.shared,
        size_bytes: u64::try_from(record.size).unwrap_or(0),
        created: record.created_at.as_ref().map(system_time),
        last_used: record.last_used_at.as_ref().map(system_time),
        usage_count: record.usage_count,
        description: record.description,
        kind: record.record_type,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_those_that_can_be_reached() {
        for text in ["unix:///run/a.sock", "unix://a.sock", "tcp://host:1234", "tcp://[::1]:1"] {
            assert_eq!(text.parse::<DaemonPlace>().unwrap().to_string(), text);
        }
        for text in
            ["", "/run/a.sock", "unix://", "tcp://host", "docker-container://a", "ssh://host", "fd://3"]
        {
            assert!(text.parse::<DaemonPlace>().is_err(), "{text}");
        }
    }
}
