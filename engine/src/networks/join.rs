//! Containers join networks.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::BorrowedFd;
use std::path::Path;

use executor::{Attachment, Join};
use serde::{Deserialize, Serialize};

use super::directory::{Directory, open_lock};
use super::facts::Facts;
use super::{NetworkError, PREDEFINED};

/// How often to start the switch of a network that ends at the very moment.
const ATTEMPTS_MAX: usize = 8;
/// Digits of a container id that people see.
const SHORT_ID_DIGITS: usize = 12;

/// A network of a container, as `--network` and its like ask for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkRequest {
    /// Its name or id.
    pub network: String,
    /// `--network-alias`.
    pub aliases: Vec<String>,
    /// `--ip`.
    pub address: Option<Ipv4Addr>,
    /// `--ip6`.
    #[serde(default)]
    pub address6: Option<Ipv6Addr>,
    /// `--mac-address`.
    pub mac: Option<[u8; 6]>,
}

/// Who joins.
pub(super) struct Member<'a> {
    /// The whole id.
    pub(super) id: &'a str,
    /// The name, if there is one.
    pub(super) name: Option<&'a str>,
    /// Who knows all other names.
    pub(super) resolvers: &'a [IpAddr],
    /// The name of its interface; `eth0` and so on without.
    pub(super) interface: Option<String>,
}

/// The network namespace of a container, and what ends with one that runs already.
pub(super) type Running<'a> = (BorrowedFd<'a>, Option<BorrowedFd<'a>>);

/// The networks of a container, the first of which is its way out. It leaves them when this is dropped.
#[derive(Debug)]
pub(super) struct Joined {
    /// Each network, and the place in it.
    pub(super) places: Vec<(Facts, Attachment)>,
}

impl Joined {
    /// The addresses in the first network.
    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        let Some((_, place)) = self.places.first() else { return Vec::new() };
        let address6 = place.endpoint.address6.map(|(address, _)| IpAddr::V6(address));
        [IpAddr::V4(place.endpoint.address)].into_iter().chain(address6).collect()
    }

    /// The address under which the host is reached.
    pub(super) fn host(&self) -> Option<Ipv4Addr> {
        self.places.first().and_then(|(_, place)| place.endpoint.host)
    }
}

/// Joins networks, all or none.
pub(super) fn join_networks(
    root: &Path,
    requests: &[NetworkRequest],
    member: &Member<'_>,
) -> Result<Joined, NetworkError> {
    let mut joined = Joined { places: Vec::new() };
    for request in requests {
        if PREDEFINED.contains(&request.network.as_str()) {
            return Err(NetworkError::Mixed);
        }
        let place = join_network(root, request, member, &joined, None)?;
        joined.places.push(place);
    }
    Ok(joined)
}

pub(super) fn join_network(
    root: &Path,
    request: &NetworkRequest,
    member: &Member<'_>,
    joined: &Joined,
    running: Option<Running<'_>>,
) -> Result<(Facts, Attachment), NetworkError> {
    let directory = Directory::open(root)?;
    let facts = directory.find(&request.network)?;
    let is_configured6 = facts.ipv6.is_some_and(|ipv6| ipv6.is_configured);
    if request.address.is_some() && !facts.is_configured || request.address6.is_some() && !is_configured6 {
        return Err(NetworkError::AddressNotAllowed);
    }
    if joined.places.iter().any(|(other, _)| other.id == facts.id) {
        return Err(NetworkError::AlreadyIn { container: member.id.to_owned(), network: facts.name });
    }
    let short: String = member.id.chars().take(SHORT_ID_DIGITS).collect();
    let names = member.name.map(str::to_owned).into_iter().chain([short]).chain(request.aliases.clone());
    let wanted = Join {
        container: member.id.to_owned(),
        names: names.collect(),
        address: request.address,
        address6: request.address6,
        mac: request.mac,
        resolvers: member.resolvers.to_vec(),
        interface: member.interface.clone().unwrap_or_else(|| format!("eth{}", joined.places.len())),
    };
    let (socket, lock) = (format!("{}.sock", facts.id), format!("{}.lock", facts.id));
    let _lock = directory.lock(&lock)?;
    // It may have been removed while we waited.
    directory.find(&facts.id)?;
    let first = running.or(joined.places.first().map(|(_, place)| (place.namespace(), None)));
    for _ in 0..ATTEMPTS_MAX {
        if let Some(place) = executor::join(directory.fd(), &socket, &wanted, first)? {
            return Ok((facts, place));
        }
        // An opening of its own, which is the switch's alone when this one is closed.
        let path = directory.path.join(&lock);
        let its_lock = open_lock(&path).map_err(|source| NetworkError::File { path, source })?;
        executor::start_switch(directory.fd(), &socket, &its_lock, &facts.plan())?;
    }
    Err(NetworkError::NotFound { name: facts.name })
}
