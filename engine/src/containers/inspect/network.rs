//! `NetworkSettings`: where a container is, and which ports lead to it.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::containers::{Config, Container};
use crate::networks::Place;

/// Docker's word for a network.
fn network_mode(network: graph::Network) -> &'static str {
    match network {
        graph::Network::Default => "default",
        graph::Network::Host => "host",
        graph::Network::None => "none",
    }
}

/// The ports of the host that lead to a container that runs, by its own; null for those that are exposed only.
fn ports(container: &Container) -> Value {
    let Container { config, state } = container;
    let mut ports: BTreeMap<String, Option<Vec<Value>>> = BTreeMap::new();
    if state.status.is_alive() {
        ports.extend(config.exposed_ports.iter().map(|port| (port.clone(), None)));
    }
    for port in &state.ports {
        let host = json!({"HostIp": port.host.ip().to_string(), "HostPort": port.host.port().to_string()});
        ports.entry(port.inside()).or_default().get_or_insert_default().push(host);
    }
    json!(ports)
}

/// The networks that a container is to be in.
pub(in crate::containers) fn network_names(config: &Config) -> Vec<&str> {
    let own = config.settings.networks.networks.iter().map(|request| request.network.as_str());
    match own.collect::<Vec<_>>() {
        // It is in none itself.
        _ if config.settings.sharing.network_of.is_some() => Vec::new(),
        names if names.is_empty() => vec![network_mode(config.settings.network)],
        names => names,
    }
}

pub(super) fn network_settings(container: &Container, places: &[Place]) -> Value {
    let Container { config, state } = container;
    let mut networks: BTreeMap<&str, Value> =
        network_names(config).into_iter().map(|name| (name, json!({}))).collect();
    for place in places {
        networks.insert(&place.network, in_network(place));
    }
    let key = match state.pid {
        0 => String::new(),
        pid => format!("/proc/{pid}/ns/net"),
    };
    json!({
        "Bridge": "",
        "Gateway": "",
        "IPAddress": "",
        "MacAddress": "",
        "Networks": networks,
        "Ports": ports(container),
        "SandboxID": "",
        "SandboxKey": key,
    })
}

fn in_network(place: &Place) -> Value {
    json!({
        "IPAMConfig": null,
        "Links": null,
        "Aliases": place.names,
        "MacAddress": place.mac,
        "NetworkID": place.network_id,
        "EndpointID": place.endpoint_id,
        "Gateway": place.gateway.map(|gateway| gateway.to_string()).unwrap_or_default(),
        "IPAddress": place.address.to_string(),
        "IPPrefixLen": place.prefix,
        "IPv6Gateway": place.gateway6.map(|gateway| gateway.to_string()).unwrap_or_default(),
        "GlobalIPv6Address": place.address6.map(|(address, _)| address.to_string()).unwrap_or_default(),
        "GlobalIPv6PrefixLen": place.address6.map_or(0, |(_, prefix)| prefix),
        "DNSNames": place.names,
    })
}
