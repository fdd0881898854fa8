//! A container's place in a network, as those see it who look at the container.

use std::net::Ipv4Addr;

use executor::Endpoint;
use image::Digest;

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
    /// The hardware address, as hexadecimal digits with colons.
    pub(crate) mac: String,
    /// By which others find it.
    pub(crate) names: Vec<String>,
    /// Of this place.
    pub(crate) endpoint_id: String,
}

impl Place {
    pub(super) fn new(
        network: &str,
        network_id: &str,
        gateway: Option<Ipv4Addr>,
        endpoint: &Endpoint,
    ) -> Self {
        Self {
            network: network.to_owned(),
            network_id: network_id.to_owned(),
            gateway,
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
