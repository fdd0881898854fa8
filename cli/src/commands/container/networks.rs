//! The networks and ports of a container of `run`.

use std::net::{Ipv4Addr, Ipv6Addr};

use engine::Network;
use engine::containers::name_of;
use engine::networks::{
    NetworkError, NetworkRequest, NetworkSettings, PREDEFINED, PortRequest, parse_exposed, parse_port,
};

use crate::commands::csv::fields;
use crate::report::Report;

/// The options.
#[derive(Debug, clap::Args)]
pub(crate) struct NetworkArgs {
    /// Expose a port or a range of ports
    #[arg(long, value_name = "PORT", value_parser = exposed)]
    expose: Vec<String>,
    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long, value_name = "IP")]
    ip: Option<Ipv4Addr>,
    /// IPv6 address (e.g., 2001:db8::33)
    #[arg(long, value_name = "IP")]
    ip6: Option<Ipv6Addr>,
    /// Container MAC address (e.g., 92:d0:c6:0a:29:33)
    #[arg(long, value_name = "ADDRESS", value_parser = mac)]
    mac_address: Option<[u8; 6]>,
    /// Connect the container to a network ("default", "host", "none", "container:NAME", or one of "slipway network ls")
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    network: Vec<String>,
    /// Add network-scoped alias for the container
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    network_alias: Vec<String>,
    /// Publish a container's port(s) to the host ("PORT", "HOST_PORT:PORT" or "IP:HOST_PORT:PORT")
    #[arg(short, long, value_name = "PORTS", value_parser = parse_port)]
    publish: Vec<PortRequest>,
    /// Publish all exposed ports to random ports
    #[arg(short = 'P', long)]
    publish_all: bool,
}

impl NetworkArgs {
    /// What the container has alone, what it shares, and the container whose network it has instead.
    pub(super) fn settings(self) -> Result<(Network, NetworkSettings, Option<String>), Report> {
        let mut networks = Vec::new();
        let mut alone = Network::Default;
        let mut network_of = None;
        for text in &self.network {
            let request = request(text)?;
            match request.network.as_str() {
                "default" | "bridge" | "" => {}
                "host" => alone = Network::Host,
                "none" => alone = Network::None,
                name if name.starts_with("container:") => {
                    let lender = name_of(name).ok_or_else(|| {
                        Report::mistake("Invalid network mode: container name or ID is missing")
                    })?;
                    if self.network.len() > 1 {
                        return Err(NetworkError::Mixed.into());
                    }
                    network_of = Some(lender);
                    continue;
                }
                _ => {}
            }
            networks.push(NetworkRequest {
                network: if request.network == "default" {
                    PREDEFINED[0].to_owned()
                } else {
                    request.network
                },
                ..request
            });
        }
        let has_address = self.ip.is_some() || self.ip6.is_some() || self.mac_address.is_some();
        if !self.network_alias.is_empty() || has_address {
            if networks.is_empty() {
                networks
                    .push(NetworkRequest { network: PREDEFINED[0].to_owned(), ..NetworkRequest::default() });
            }
            let first = &mut networks[0];
            first.aliases.extend(self.network_alias);
            first.address = self.ip.or(first.address);
            first.address6 = self.ip6.or(first.address6);
            first.mac = self.mac_address.or(first.mac);
        }
        let settings = NetworkSettings {
            networks,
            ports: self.publish,
            publishes_all: self.publish_all,
            exposed: self.expose,
        };
        Ok((alone, settings, network_of))
    }
}

/// A name, or `name=NETWORK,alias=NAME,ip=ADDRESS,ip6=ADDRESS,mac-address=ADDRESS`.
fn request(text: &str) -> Result<NetworkRequest, Report> {
    let wrong = |problem: String| {
        Report::mistake(format!("invalid argument \"{text}\" for \"--network\" flag: {problem}"))
    };
    let mut request = NetworkRequest::default();
    if !text.contains('=') {
        text.clone_into(&mut request.network);
        return Ok(request);
    }
    for field in fields(text).map_err(|error| wrong(error.to_string()))? {
        let (key, value) = field.split_once('=').ok_or_else(|| wrong(format!("invalid field {field}")))?;
        match key.trim().to_ascii_lowercase().as_str() {
            "name" => value.clone_into(&mut request.network),
            "alias" => request.aliases.push(value.to_owned()),
            "ip" => {
                request.address =
                    Some(value.parse().map_err(|_| wrong(format!("`{value}` is no IPv4 address")))?);
            }
            "ip6" => {
                request.address6 =
                    Some(value.parse().map_err(|_| wrong(format!("`{value}` is no IPv6 address")))?);
            }
            "mac-address" => request.mac = Some(mac(value).map_err(wrong)?),
            _ => return Err(wrong(format!("invalid field key {key}"))),
        }
    }
    if request.network.is_empty() {
        return Err(wrong("network name/id is not specified".to_owned()));
    }
    Ok(request)
}

fn mac(text: &str) -> Result<[u8; 6], String> {
    let wrong = || format!("`{text}` is no hardware address");
    let bytes: Result<Vec<u8>, _> = text.split([':', '-']).map(|byte| u8::from_str_radix(byte, 16)).collect();
    bytes.ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)
}

fn exposed(text: &str) -> Result<String, String> {
    parse_exposed(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}
