//! `slipway network connect`.

use std::net::{Ipv4Addr, Ipv6Addr};

use engine::networks::NetworkRequest;

use crate::arguments::Global;
use crate::report::{Exit, Report};
use crate::store;

/// Connect a container to a network
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway network connect [OPTIONS] NETWORK CONTAINER", help_template = super::HELP)]
pub(crate) struct Args {
    /// Name or ID of the network
    #[arg(value_name = "NETWORK", hide = true)]
    network: String,
    /// Name or ID of the container
    #[arg(value_name = "CONTAINER", hide = true)]
    container: String,
    /// Add network-scoped alias for the container
    #[arg(long, value_name = "NAME")]
    alias: Vec<String>,
    /// IPv4 address (e.g., 172.30.100.104)
    #[arg(long, value_name = "IP")]
    ip: Option<Ipv4Addr>,
    /// IPv6 address (e.g., 2001:db8::33)
    #[arg(long, value_name = "IP")]
    ip6: Option<Ipv6Addr>,
}

/// Makes a container join a network.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let Args { network, container, alias: aliases, ip: address, ip6: address6 } = args;
    let request = NetworkRequest { network, aliases, address, address6, mac: None };
    store::open_with_networks(global, &[])?.connect_container(&container, &request)?;
    Ok(Exit::Success)
}
