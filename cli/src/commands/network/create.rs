//! `slipway network create`.

use std::net::Ipv4Addr;

use engine::networks::{NewNetwork, Subnet};

use crate::arguments::Global;
use crate::commands::pairs::pair;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Create a network
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway network create [OPTIONS] NETWORK", help_template = super::HELP)]
pub(crate) struct Args {
    /// Name of the network
    #[arg(value_name = "NETWORK", hide = true)]
    name: String,
    /// Enable manual container attachment (here every network allows it)
    #[arg(long)]
    attachable: bool,
    /// Driver to manage the network ("bridge" is the only one)
    #[arg(short, long, value_name = "NAME", default_value = "bridge", hide_default_value = true)]
    driver: String,
    /// IPv4 gateway for the subnet
    #[arg(long, value_name = "IP")]
    gateway: Option<Ipv4Addr>,
    /// Restrict external access to the network
    #[arg(long)]
    internal: bool,
    /// Allocate container IPs from a sub-range
    #[arg(long, value_name = "SUBNET")]
    ip_range: Option<Subnet>,
    /// Set metadata on a network
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// Set driver specific options (there are none)
    #[arg(short, long = "opt", value_name = "NAME=VALUE", value_parser = pair)]
    option: Vec<(String, String)>,
    /// Subnet in CIDR format
    #[arg(long, value_name = "SUBNET")]
    subnet: Option<Subnet>,
}

/// Makes a network.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let network = NewNetwork {
        name: args.name,
        driver: args.driver,
        subnet: args.subnet,
        range: args.ip_range,
        gateway: args.gateway,
        is_internal: args.internal,
        is_attachable: args.attachable,
        labels: args.label.into_iter().collect(),
        options: args.option.into_iter().collect(),
    };
    let id = store::open(global)?.create_network(&network)?;
    console::print(&format!("{id}\n"))
}
