//! Takes ports of the host.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use executor::{Errno, HostPort, Protocol};
use serde::{Deserialize, Serialize};

use super::{NetworkError, PortRequest};

/// Errors of bind(2), see errno(3).
const EACCES: i32 = 13;
const EAFNOSUPPORT: i32 = 97;
const EADDRINUSE: i32 = 98;
const EADDRNOTAVAIL: i32 = 99;
/// How often to look for a port that is free for both versions of IP.
const ATTEMPTS_MAX: usize = 32;

/// A port of a container that the host has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishedPort {
    /// What it is of.
    pub protocol: Protocol,
    /// In the container.
    pub container: u16,
    /// On the host.
    pub host: SocketAddr,
}

impl PublishedPort {
    /// The port in the container: `80/tcp`.
    pub fn inside(&self) -> String {
        format!("{}/{}", self.container, self.protocol.name())
    }
}

/// Ports of the host that are ours.
#[derive(Debug, Default)]
pub(crate) struct Taken {
    pub(crate) ports: Vec<(HostPort, u16)>,
}

impl Taken {
    /// What is published.
    pub(crate) fn published(&self) -> Vec<PublishedPort> {
        let one = |(port, container): &(HostPort, u16)| PublishedPort {
            protocol: port.protocol(),
            container: *container,
            host: port.address(),
        };
        self.ports.iter().map(one).collect()
    }
}

/// Takes the ports of all requests, or none.
pub(crate) fn take_ports(requests: &[PortRequest]) -> Result<Taken, NetworkError> {
    let mut taken = Taken::default();
    for request in requests {
        let (first, last) = request.container;
        for inside in first..=last {
            let candidates = match request.host {
                None => (0, 0),
                Some((from, to)) if first == last => (from, to),
                Some((from, _)) => (from + (inside - first), from + (inside - first)),
            };
            let ports = take_one(request.protocol, request.address, candidates)?;
            taken.ports.extend(ports.into_iter().map(|port| (port, inside)));
        }
    }
    Ok(taken)
}

/// The first of several ports that is free.
fn take_one(
    protocol: Protocol,
    address: Option<IpAddr>,
    (from, to): (u16, u16),
) -> Result<Vec<HostPort>, NetworkError> {
    let attempts = if (from, to) == (0, 0) { ATTEMPTS_MAX } else { 1 };
    let candidates = (0..attempts).flat_map(|_| from..=to);
    let mut error = None;
    for port in candidates {
        match take_number(protocol, address, port) {
            Ok(taken) => return Ok(taken),
            // Another one may be free.
            Err(taken @ NetworkError::PortTaken { .. }) => drop(error.get_or_insert(taken)),
            Err(error) => return Err(error),
        }
    }
    Err(error.expect("a range has a port"))
}

/// One port, on one address or on all of both versions of IP.
fn take_number(
    protocol: Protocol,
    address: Option<IpAddr>,
    port: u16,
) -> Result<Vec<HostPort>, NetworkError> {
    let take = |address: IpAddr, port: u16| HostPort::take(protocol, SocketAddr::new(address, port));
    let told = |address: IpAddr, port: u16, error: Errno| refused(SocketAddr::new(address, port), error);
    if let Some(address) = address {
        return take(address, port).map(|port| vec![port]).map_err(|error| told(address, port, error));
    }
    let (all, all6) = (IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED));
    let first = take(all, port).map_err(|error| told(all, port, error))?;
    let port = first.address().port();
    match take(all6, port) {
        Ok(second) => Ok(vec![first, second]),
        // A host without IPv6.
        Err(Errno(EAFNOSUPPORT | EADDRNOTAVAIL)) => Ok(vec![first]),
        Err(error) => Err(told(all6, port, error)),
    }
}

fn refused(address: SocketAddr, error: Errno) -> NetworkError {
    match error {
        Errno(EADDRINUSE) => NetworkError::PortTaken { address },
        Errno(EACCES) => NetworkError::PortPrivileged { port: address.port(), address },
        source => NetworkError::Port { address, source },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(host: Option<(u16, u16)>, container: (u16, u16)) -> PortRequest {
        PortRequest { protocol: Protocol::Tcp, container, address: Some([127, 0, 0, 1].into()), host }
    }

    #[test]
    fn a_port_is_taken_once_and_free_again() {
        let first = take_ports(&[request(None, (80, 81))]).unwrap();
        let [one, other] = &first.published()[..] else { panic!("two ports") };
        assert_eq!((one.container, other.container), (80, 81));
        let port = one.host.port();
        let again = take_ports(&[request(Some((port, port)), (80, 80))]).unwrap_err();
        assert_eq!(again.to_string(), format!("Bind for 127.0.0.1:{port} failed: port is already allocated"));
        let next = port.saturating_add(1).max(port);
        if let Ok(second) = take_ports(&[request(Some((port, next)), (80, 80))]) {
            assert_eq!(second.published()[0].host.port(), next, "the first of the range that is free");
        }
        drop(first);
        take_ports(&[request(Some((port, port)), (80, 80))]).unwrap();
    }

    #[test]
    fn both_versions_of_ip_have_the_same_port() {
        let taken = take_ports(&[PortRequest { address: None, ..request(None, (80, 80)) }]).unwrap();
        let published = taken.published();
        assert!(published.iter().all(|port| port.host.port() == published[0].host.port()));
        assert!(published[0].host.ip().is_unspecified());
    }
}
