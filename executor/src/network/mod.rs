//! A network of their own for sandboxes, with a way out.
//!
//! A small process of ours, the *keeper*, makes network namespaces and connects each with the outside. The engine
//! gets them ready to use, one in advance, and uses one again when its sandbox left nothing behind in it.
//!
//! ```text
//! engine --- control socket, lifeline --- keeper: owns the firewall table, or the processes of pasta
//!    |                                        | makes
//!    +------- network namespaces <------------+
//! ```
//!
//! Everything belongs to somebody: a pair of interfaces to its namespace, the rules to the keeper's socket. So the
//! kernel takes all of it away when the processes are gone, however they went. What it cannot take back,
//! forwarding that was switched on, the last keeper switches off again.

mod addresses;
mod client;
mod firewall;
mod forwarding;
mod keeper;
mod links;
mod netlink;
mod passage;
mod porter;
mod ports;
mod quiet;
mod routes;
mod switch;
mod unconnected;
mod usermode;
mod veth;

use std::net::{IpAddr, Ipv4Addr};

use serde::{Deserialize, Serialize};

pub(crate) use client::{Connection, connect, take, wait_for_connection};
pub use client::{has_idle_network, known_private_network, prepare_network, private_network};
pub(crate) use keeper::run;
pub(crate) use porter::run as run_porter;
pub use ports::{HostPort, Protocol, Published, publish};
pub(crate) use switch::run as run_switch;
pub use switch::{
    Attachment, Endpoint, Ipv6Plan, Join, NAME_SERVER, SwitchPlan, fuzz_query, join, leave, list, owner,
    start_switch,
};
pub use unconnected::prepare_unconnected_network;
pub(crate) use unconnected::{Unconnected, take_unconnected};

use crate::error::Errno;

/// How the private network of a sandbox reaches the outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outlet {
    /// A pair of interfaces for each sandbox; the host's kernel forwards and translates addresses.
    Veth,
    /// A `pasta` process for each sandbox, which needs no privileges.
    Pasta,
    /// A `slirp4netns` process for each sandbox, which needs no privileges.
    Slirp4netns,
}

impl Outlet {
    /// The word for it: `veth`, `pasta`, `slirp4netns`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Veth => "veth",
            Self::Pasta => "pasta",
            Self::Slirp4netns => "slirp4netns",
        }
    }
}

/// What is known of the private network of this process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PrivateNetwork {
    /// How it reaches the outside.
    pub outlet: Outlet,
    /// The address of the host as sandboxes see it, where there is one.
    pub host: Option<Ipv4Addr>,
    /// A name server that the outlet itself provides.
    pub name_server: Option<Ipv4Addr>,
    /// Interfaces of the host whose forwarding had to be switched on.
    pub forwarding: Vec<String>,
    /// Whether a command can wait for it at its first socket, see [`crate::Network::OnDemand`].
    pub on_demand: bool,
}

/// Why there is no private network.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum NetworkError {
    /// The kernel refused a call.
    #[error("{call}")]
    Kernel {
        /// The call with its arguments.
        call: String,
        /// Its error.
        source: Errno,
    },
    /// Every range of addresses that would do has a route already.
    #[error("every range of addresses for sandboxes has a route to somewhere else")]
    NoAddresses,
    /// Nothing on this machine can connect a private network: one reason for each way.
    #[error("{}", reasons.join("; "))]
    NoOutlet {
        /// `veth: ...`, `pasta: ...`, `slirp4netns: ...`.
        reasons: Vec<String>,
    },
    /// Somebody else in the network has the address that was asked for, or nobody can have it.
    #[error("Address already in use: {address}")]
    Taken {
        /// The address.
        address: IpAddr,
    },
    /// The address that was asked for is not in the network.
    #[error("no configured subnet or ip range contain the IP address {address}")]
    OutOfRange {
        /// The address.
        address: IpAddr,
    },
    /// All addresses of a network are taken.
    #[error("no available {family} addresses on this network's address pools: {name}")]
    Full {
        /// Its name.
        name: String,
        /// `IPv4`, `IPv6`.
        family: String,
    },
    /// The keeper ended without a word, or the program that connects a namespace did.
    #[error("the keeper of the network {problem}")]
    Keeper {
        /// What was seen.
        problem: String,
    },
}

/// Turns the error of a system call into a [`NetworkError`] that names the call.
trait OrNetwork<T> {
    /// `call` is only formatted when the call was refused.
    fn or_network(self, call: impl FnOnce() -> String) -> Result<T, NetworkError>;
}

impl<T, E: Into<Errno>> OrNetwork<T> for Result<T, E> {
    fn or_network(self, call: impl FnOnce() -> String) -> Result<T, NetworkError> {
        self.map_err(|error| NetworkError::Kernel { call: call(), source: error.into() })
    }
}
