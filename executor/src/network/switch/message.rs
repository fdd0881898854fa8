//! What the switch and those who use it tell each other.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::super::NetworkError;

/// A network as the switch has to make it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SwitchPlan {
    /// Its name, which also ends the full names of its containers.
    pub name: String,
    /// The first address, and the bits that all have in common.
    pub subnet: (Ipv4Addr, u8),
    /// The addresses that containers get, in the same form.
    pub range: (Ipv4Addr, u8),
    /// The address of the bridge, which is the way out.
    pub gateway: Ipv4Addr,
    /// What containers have beside that.
    pub ipv6: Option<Ipv6Plan>,
    /// Whether there is no way out.
    pub is_internal: bool,
}

/// The IPv6 addresses of a network.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ipv6Plan {
    /// The first address, and the bits that all have in common.
    pub subnet: (Ipv6Addr, u8),
    /// The addresses that containers get, in the same form.
    pub range: (Ipv6Addr, u8),
    /// The address of the bridge.
    pub gateway: Ipv6Addr,
}

/// A container that joins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// Its id.
    pub container: String,
    /// By which others find it: its name, its short id, its aliases.
    pub names: Vec<String>,
    /// The address that it wants.
    pub address: Option<Ipv4Addr>,
    /// The IPv6 address that it wants.
    pub address6: Option<Ipv6Addr>,
    /// The hardware address that it wants.
    pub mac: Option<[u8; 6]>,
    /// Who is asked for all other names.
    pub resolvers: Vec<IpAddr>,
    /// The name of its interface.
    pub interface: String,
}

/// A container in a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id.
    pub container: String,
    /// By which others find it.
    pub names: Vec<String>,
    /// Its address.
    pub address: Ipv4Addr,
    /// The bits of the address that all in the network have in common.
    pub prefix: u8,
    /// Its IPv6 address, and the bits of that which all have in common, where the network has any.
    pub address6: Option<(Ipv6Addr, u8)>,
    /// The hardware address.
    pub mac: [u8; 6],
    /// The address under which it reaches the host, where there is one.
    pub host: Option<Ipv4Addr>,
}

/// A request to the switch. A join that carries a namespace and a pidfd is of a container that runs already.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Request {
    Join(Join),
    /// A container goes, which may go on running.
    Leave {
        container: String,
    },
    List,
    /// The user namespace to which the network belongs.
    Owner,
}

/// Its answer. One to a join carries the new namespace.
#[derive(Debug, Serialize, Deserialize)]
pub(super) enum Answer {
    /// The bridge is there. The first word of a switch, and no answer.
    Ready,
    Joined(Endpoint),
    Left,
    /// Carries it.
    Owner,
    Endpoints(Vec<Endpoint>),
    Failed(NetworkError),
}
