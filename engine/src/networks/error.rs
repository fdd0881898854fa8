//! What can go wrong with a network.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use cache::StoreError;
use serde::{Deserialize, Serialize};

/// Why a network cannot be made, joined or removed, or a port not be published.
#[derive(Debug, thiserror::Error)]
pub enum NetworkError {
    /// A name that is none.
    #[error(
        "invalid network name: \"{name}\" includes invalid characters, only \"[a-zA-Z0-9][a-zA-Z0-9_.-]\" are allowed"
    )]
    Name {
        /// The name.
        name: String,
    },
    /// There is one of that name.
    #[error("network with name {name} already exists")]
    Exists {
        /// The name.
        name: String,
    },
    /// There is none of that name or id.
    #[error("network {name} not found")]
    NotFound {
        /// The name or id.
        name: String,
    },
    /// Several ids begin like this.
    #[error("network {name} is ambiguous ({count} matches found on name)")]
    Ambiguous {
        /// The beginning.
        name: String,
        /// How many there are.
        count: usize,
    },
    /// One of the networks that are always there.
    #[error("operation is not permitted on predefined {name} network")]
    Predefined {
        /// Its name.
        name: String,
    },
    /// A driver that there is not.
    #[error("could not find plugin {driver} in v1 plugin registry: plugin not found")]
    Driver {
        /// Its name.
        driver: String,
    },
    /// An option of the driver that there is not.
    #[error("the option \"{option}\" of the network driver is not supported")]
    UnknownOption {
        /// Its name.
        option: String,
    },
    /// A text that is no subnet of IPv4.
    #[error(
        "invalid subnet {text}: expected an IPv4 address and a number of bits up to 30, such as 172.28.0.0/16"
    )]
    Subnet {
        /// The text.
        text: String,
    },
    /// A text that is no subnet of IPv6.
    #[error(
        "invalid subnet {text}: expected an IPv6 address and a number of bits up to 126, such as fd00:1::/64"
    )]
    Subnet6 {
        /// The text.
        text: String,
    },
    /// IPv6 addresses for a network that is to have none.
    #[error("IPv6 addresses are given, but IPv6 is not enabled for the network")]
    WithoutIpv6,
    /// An address that is not in the subnet to which it must belong.
    #[error("no matching subnet for {what} {address}")]
    Outside {
        /// "gateway" or "range".
        what: &'static str,
        /// The address.
        address: String,
    },
    /// Another network, or another host, has these addresses.
    #[error(
        "invalid pool request: Pool overlaps with other one on this address space: {subnet} with {other}"
    )]
    Overlap {
        /// What was asked for.
        subnet: String,
        /// What has it.
        other: String,
    },
    /// All ranges of addresses have routes or networks.
    #[error("all predefined address pools have been fully subnetted")]
    NoPool,
    /// Containers are in it.
    #[error("network {name} has active endpoints ({containers})")]
    InUse {
        /// Its name.
        name: String,
        /// Who.
        containers: String,
    },
    /// An address in a network whose subnet the user has not chosen.
    #[error(
        "user specified IP address is supported only when connecting to networks with user configured subnets"
    )]
    AddressNotAllowed,
    /// An address or a name in a network that has none of its own.
    #[error("{what} is supported only for containers in user defined networks")]
    NotUserDefined {
        /// "network-scoped alias" or "user specified IP address".
        what: &'static str,
    },
    /// A network beside one that the container has alone.
    #[error("conflicting options: cannot attach both user-defined and non-user-defined network-modes")]
    Mixed,
    /// The container is in that network.
    #[error("{container} is already attached to network {network}")]
    AlreadyIn {
        /// The container.
        container: String,
        /// The network.
        network: String,
    },
    /// The container is not in that network.
    #[error("container {container} is not connected to network {network}")]
    NotIn {
        /// The container.
        container: String,
        /// The network.
        network: String,
    },
    /// A port that somebody has.
    #[error("Bind for {address} failed: port is already allocated")]
    PortTaken {
        /// The port.
        address: SocketAddr,
    },
    /// A port that only root may have.
    #[error("cannot expose privileged port {port}: bind {address}: permission denied")]
    PortPrivileged {
        /// Its number.
        port: u16,
        /// Where.
        address: SocketAddr,
    },
    /// A port that cannot be had for another reason.
    #[error("failed to bind host port {address}")]
    Port {
        /// The port.
        address: SocketAddr,
        /// The cause.
        source: executor::Errno,
    },
    /// Ports of a container that has no network of its own.
    #[error("ports cannot be published: {reason}")]
    NoPorts {
        /// Why not.
        reason: String,
    },
    /// The machine refuses.
    #[error("cannot set up the network")]
    Sandbox(#[from] executor::NetworkError),
    /// A file of ours cannot be read or written.
    #[error("cannot use `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A filter that there is not, or a value that it does not have.
    #[error("invalid filter '{text}'")]
    Filter {
        /// As it was written.
        text: String,
    },
    /// The store cannot do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Who has to do something about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NetworkFault {
    /// The user.
    User,
    /// The user, who has to look which networks there are.
    NotFound,
    /// The machine refuses.
    Machine,
}

impl NetworkError {
    /// Who has to do something about it.
    pub(crate) fn fault(&self) -> NetworkFault {
        use executor::NetworkError as Refused;
        match self {
            Self::NotFound { .. } => NetworkFault::NotFound,
            Self::Sandbox(Refused::Taken { .. } | Refused::OutOfRange { .. } | Refused::Full { .. }) => {
                NetworkFault::User
            }
            Self::Store(_) | Self::File { .. } | Self::Sandbox(_) => NetworkFault::Machine,
            _ => NetworkFault::User,
        }
    }
}
