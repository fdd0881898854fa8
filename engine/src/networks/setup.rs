//! The network of one container, from what its user asks for to what runs.

use std::net::IpAddr;
use std::os::fd::BorrowedFd;
use std::path::Path;

use executor::{Attachment, NAME_SERVER, Published};
use serde::{Deserialize, Serialize};

use super::join::{Joined, Member, NetworkRequest, join_networks};
use super::port::{PortRequest, parse_exposed};
use super::publish::{PublishedPort, Taken, take_ports};
use super::{NetworkError, PREDEFINED};
use crate::containers::Neighbour;
use crate::network::{Dns, Granted, NoHostGateway, grant, name_servers_of_host, shared_resolv_conf};
use crate::run::files;

/// What a user asks of the network of a container, as plain data.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkSettings {
    /// Networks that somebody made. None: the container has one alone, the host's, or none.
    pub networks: Vec<NetworkRequest>,
    /// `--publish`.
    pub ports: Vec<PortRequest>,
    /// `--publish-all`: also all that is exposed.
    pub publishes_all: bool,
    /// `--expose`, as `80/tcp`.
    pub exposed: Vec<String>,
}

impl NetworkSettings {
    /// Whether there are networks that somebody made among them.
    pub fn is_shared(&self) -> bool {
        self.networks.iter().any(|request| !PREDEFINED.contains(&request.network.as_str()))
    }
}

/// Whose network it is.
pub(crate) struct Owner<'a> {
    /// The whole id.
    pub(crate) id: &'a str,
    /// The name, if there is one.
    pub(crate) name: Option<&'a str>,
    /// What it calls itself.
    pub(crate) hostname: &'a str,
    /// `--dns` and its like.
    pub(crate) dns: &'a Dns,
    /// `--add-host`.
    pub(crate) extra_hosts: &'a [(String, String)],
    /// What its image exposes, as `80/tcp`.
    pub(crate) exposed_by_image: Vec<&'a str>,
}

/// Why a container has no network.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SetUpError {
    #[error(transparent)]
    Network(#[from] NetworkError),
    #[error(transparent)]
    HostGateway(#[from] NoHostGateway),
}

/// The network of a container that does not run yet. Dropping it gives everything back.
#[derive(Debug)]
pub(crate) struct SetUp {
    pub(crate) network: executor::Network,
    /// `/etc/hosts`.
    pub(crate) hosts: String,
    /// `/etc/resolv.conf`.
    pub(crate) resolv_conf: String,
    joined: Option<Joined>,
    taken: Taken,
}

/// The network of a container that runs. It goes when this is dropped.
#[derive(Debug)]
pub(crate) struct Connected {
    _joined: Option<Joined>,
    _published: Option<Published>,
    /// What is published.
    ports: Vec<PublishedPort>,
}

impl Connected {
    /// What is published.
    pub(crate) fn ports(&self) -> &[PublishedPort] {
        &self.ports
    }
}

/// Joins the networks, and takes the ports: all or nothing.
pub(crate) fn set_up(
    root: &Path,
    settings: &NetworkSettings,
    wanted: graph::Network,
    owner: &Owner<'_>,
) -> Result<SetUp, SetUpError> {
    let taken = take_ports(&wanted_ports(settings, owner))?;
    check_alone(settings)?;
    if !settings.is_shared() {
        return alone(wanted, owner, taken);
    }
    let resolvers: Vec<IpAddr> =
        if owner.dns.servers.is_empty() { name_servers_of_host() } else { owner.dns.servers.clone() };
    let member = Member { id: owner.id, name: owner.name, resolvers: &resolvers, interface: None };
    let joined = join_networks(root, &settings.networks, &member)?;
    let granted = Granted::shared(joined.host());
    Ok(SetUp {
        network: executor::Network::Private,
        hosts: files::hosts_at(owner.hostname, &joined.addresses())
            + &granted.extra_hosts(owner.extra_hosts)?,
        resolv_conf: shared_resolv_conf(owner.dns, NAME_SERVER),
        joined: Some(joined),
        taken,
    })
}

/// A container with a network of its own, the host's, or none.
fn alone(wanted: graph::Network, owner: &Owner<'_>, mut taken: Taken) -> Result<SetUp, SetUpError> {
    let granted = grant(wanted);
    if granted.network != executor::Network::Private && !taken.ports.is_empty() {
        if wanted == graph::Network::Default {
            let reason = "this machine allows no private network, see `slipway doctor`".to_owned();
            return Err(NetworkError::NoPorts { reason }.into());
        }
        tracing::warn!("published ports are discarded: the container has no network of its own");
        taken = Taken::default();
    }
    Ok(SetUp {
        network: granted.network,
        hosts: files::hosts(owner.hostname) + &granted.extra_hosts(owner.extra_hosts)?,
        resolv_conf: granted.resolv_conf(owner.dns),
        joined: None,
        taken,
    })
}

/// Names and addresses are of networks that somebody made.
fn check_alone(settings: &NetworkSettings) -> Result<(), NetworkError> {
    for request in &settings.networks {
        if !PREDEFINED.contains(&request.network.as_str()) {
            continue;
        }
        if settings.networks.len() > 1 {
            return Err(NetworkError::Mixed);
        }
        if !request.aliases.is_empty() {
            return Err(NetworkError::NotUserDefined { what: "network-scoped alias" });
        }
        if request.address.is_some() || request.address6.is_some() || request.mac.is_some() {
            return Err(NetworkError::NotUserDefined { what: "user specified IP address" });
        }
    }
    Ok(())
}

/// What is published, with what is exposed if all of it is.
fn wanted_ports(settings: &NetworkSettings, owner: &Owner<'_>) -> Vec<PortRequest> {
    let mut ports = settings.ports.clone();
    if !settings.publishes_all {
        return ports;
    }
    let own = settings.exposed.iter().map(String::as_str);
    // What an image says and nobody understands is exposed to nobody.
    let exposed =
        owner.exposed_by_image.iter().copied().chain(own).filter_map(|text| parse_exposed(text).ok());
    for (range, protocol) in exposed {
        for port in range {
            let is_there = |request: &PortRequest| {
                request.protocol == protocol && (request.container.0..=request.container.1).contains(&port)
            };
            if !ports.iter().any(is_there) {
                ports.push(PortRequest { protocol, container: (port, port), address: None, host: None });
            }
        }
    }
    ports
}

impl SetUp {
    /// The network of another container, with what that one says of names.
    pub(crate) fn of_neighbour(neighbour: &Neighbour) -> Self {
        let network = match neighbour.has_network_of_host {
            true => executor::Network::Host,
            false => executor::Network::Joined,
        };
        Self {
            network,
            hosts: neighbour.hosts.clone(),
            resolv_conf: neighbour.resolv_conf.clone(),
            joined: None,
            taken: Taken::default(),
        }
    }

    /// The network in which the command is to run, if it is one that somebody made.
    pub(crate) fn attachment(&self) -> Option<&Attachment> {
        self.joined.as_ref()?.places.first().map(|(_, place)| place)
    }

    /// Whether ports lead to it, or it is in a network with others: then nobody else may have its namespace afterwards.
    pub(crate) fn is_shared(&self) -> bool {
        self.joined.is_some() || !self.taken.ports.is_empty()
    }

    /// Connects the ports with the container, whose network namespace this is.
    pub(crate) fn connect(self, namespace: Option<BorrowedFd<'_>>) -> Result<Connected, NetworkError> {
        let ports = self.taken.published();
        let published = match namespace {
            Some(namespace) if !ports.is_empty() => Some(executor::publish(namespace, &self.taken.ports)?),
            _ => None,
        };
        Ok(Connected { _joined: self.joined, _published: published, ports })
    }
}
