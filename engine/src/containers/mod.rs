//! Containers: an image that runs, or did, or will.
//!
//! Each has a directory in the store and, while it runs, a monitor: a process of our own binary that keeps it. There is no
//! daemon; every process sees the containers of its store, and steers them through their monitors.

mod ask;
mod commit;
mod config;
mod copy;
mod create;
mod device;
mod diff;
mod error;
mod exec;
mod filter;
mod home;
mod inspect;
mod log;
mod logs;
mod monitor;
mod name;
mod remove;
mod session;
mod settings;
mod sharing;
pub mod signal;
mod start;
mod state;
mod steer;
mod tell;
mod update;
mod usage;
mod watch;
mod wire;

use serde::Serialize;

use crate::Engine;
use home::Home;

pub use commit::CommitRequest;
pub use config::{Config, STOP_TIMEOUT_S_DEFAULT};
pub use copy::{CopyError, CopyOptions, fuzz_unpack};
pub use create::Creation;
pub use device::Device;
pub use diff::Change;
pub use error::ContainerError;
pub use exec::ExecRequest;
pub use executor::Stream;
pub use filter::{ContainerFilters, FilterError};
pub use inspect::ContainerInspection;
pub use log::{LogEntry, LogLimits, LogMode, LogOptions};
pub use logs::Logs;
pub use name::SHORT_ID_DIGITS;
pub use remove::Removal;
pub use session::{Session, SessionEvent, SessionWriter};
pub use settings::{HealthSettings, Restart, Settings};
pub use sharing::{Processes, Queues, Sharing, name_of, neighbours};
pub use state::{Health, HealthResult, State, Status};
pub use update::Update;
pub use usage::ContainerUsage;
pub use watch::Watch;

/// A time (2026-01-31, RFC 3339, seconds since 1970) or an age (10m, 1h30m), as Docker's options take them.
pub fn parse_moment(text: &str, now: jiff::Timestamp) -> Option<jiff::Timestamp> {
    crate::images::parse_moment(text, now)
}
pub use wire::Streams;

pub(crate) use monitor::dispatch;
pub(crate) use sharing::user_namespace;
pub(crate) use wire::Neighbour;

/// A container as it is in this moment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Container {
    /// What it is to be.
    pub config: Config,
    /// What has become of it.
    pub state: State,
}

impl Container {
    fn load(home: &Home) -> Result<Self, ContainerError> {
        Ok(Self { config: home.config()?, state: home.state()? })
    }
}

impl Engine {
    /// All containers, the newest first.
    ///
    /// # Errors
    ///
    /// When the directory of the containers cannot be read.
    pub fn containers(&self) -> Result<Vec<Container>, ContainerError> {
        let mut containers = Vec::new();
        for id in Home::all(self.root())? {
            // One that goes in this moment is not there.
            match Container::load(&Home::new(self.root(), &id)) {
                Ok(container) => containers.push(container),
                Err(ContainerError::NoSuchContainer { .. }) => {}
                Err(error @ ContainerError::Damaged { .. }) => {
                    tracing::warn!("{error}; `slipway rm` removes what is left of it");
                }
                Err(error) => tracing::warn!("container {id}: {error}"),
            }
        }
        containers.sort_by_key(|container| std::cmp::Reverse(container.config.created_unix_ns));
        Ok(containers)
    }

    /// The container of a name, an id or the beginning of one, in this order.
    ///
    /// # Errors
    ///
    /// [`ContainerError::NoSuchContainer`] and [`ContainerError::Ambiguous`].
    pub fn container(&self, name: &str) -> Result<Container, ContainerError> {
        Container::load(&self.home(name)?)
    }

    fn home(&self, text: &str) -> Result<Home, ContainerError> {
        home::find(self.root(), text)
    }
}
