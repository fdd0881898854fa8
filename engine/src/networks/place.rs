//! A container's place in a network, as those see it who look at the container.

use std::net::{Ipv4Addr, Ipv6Addr};

use executor::Endpoint;
use image::Digest;

use super::facts::Facts;

/// A container's place in a network that somebody made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    /// The name of the network.
    pub(crate) network: String,
    /// Its id.
    pub(crate) network_id: String,
    /// The way out.
    pub(crate) gateway: Option<Ipv4Addr>,
    /// The address.
    pub(crate) address: Ipv4Addr,
    /// The bits that all addresses of the network have in common.
    pub(crate) prefix: u8,
    /// The way out by IPv6.
    pub(crate) gateway6: Option<Ipv6Addr>,
    /// The IPv6 address, and the bits of it that all in the network have in common.
    pub(crate) address6: Option<(Ipv6Addr, u8)>,
    /// The hardware address, as hexadecimal digits with colons.
    pub(crate) mac: String,
    /// By which others find it.
    pub(crate) names: Vec<String>,
    /// Of this place.
    pub(crate) endpoint_id: String,
}

impl Place {
    pub(super) fn new(facts: &Facts, endpoint: &Endpoint) -> Self {
        let has_outlet = !facts.is_internal;
        Self {
            network: facts.name.clone(),
            network_id: facts.id.clone(),
            gateway: has_outlet.then_some(facts.gateway),
            gateway6: facts.ipv6.filter(|_| has_outlet).map(|ipv6| ipv6.gateway),
            address6: endpoint.address6,
            address: endpoint.address,
            prefix: endpoint.prefix,
            mac: mac_text(endpoint.mac),
            names: endpoint.names.clone(),
            endpoint_id: endpoint_id(endpoint),
        }
    }
}

/// The id of a place: the same for as long as the container has the address.
pub(super) fn endpoint_id(endpoint: &Endpoint) -> String {
    Digest::of(format!("{} {}", endpoint.container, endpoint.address).as_bytes()).hex()
}

pub(super) fn mac_text(mac: [u8; 6]) -> String {
    mac.map(|byte| format!("{byte:02x}")).join(":")
}
