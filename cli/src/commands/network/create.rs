//! `slipway network create`.

use std::net::IpAddr;
use std::str::FromStr;

use engine::networks::{NetworkError, NewIpv6, NewNetwork, Subnet, Subnet6};

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
    /// IPv4 or IPv6 gateway for the subnet
    #[arg(long, value_name = "IP")]
    gateway: Vec<IpAddr>,
    /// Restrict external access to the network
    #[arg(long)]
    internal: bool,
    /// Allocate container IPs from a sub-range
    #[arg(long, value_name = "SUBNET")]
    ip_range: Vec<AnySubnet>,
    /// Enable IPv6 networking
    #[arg(long)]
    ipv6: bool,
    /// Set metadata on a network
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    label: Vec<(String, String)>,
    /// Set driver specific options (there are none)
    #[arg(short, long = "opt", value_name = "NAME=VALUE", value_parser = pair)]
    option: Vec<(String, String)>,
    /// Subnet in CIDR format
    #[arg(long, value_name = "SUBNET")]
    subnet: Vec<AnySubnet>,
}

/// A subnet of either kind.
#[derive(Debug, Clone, Copy)]
enum AnySubnet {
    V4(Subnet),
    V6(Subnet6),
}

impl FromStr for AnySubnet {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        if text.contains(':') { text.parse().map(Self::V6) } else { text.parse().map(Self::V4) }
    }
}

/// What is given of each kind, at most once.
fn of_each<T: Copy, A, B>(
    what: &str,
    all: &[T],
    kinds: &(impl Fn(T) -> Option<A>, impl Fn(T) -> Option<B>),
) -> Result<(Option<A>, Option<B>), Report> {
    let (mut first, mut second) = (None, None);
    for one in all {
        let is_again = match (kinds.0(*one), kinds.1(*one)) {
            (Some(one), _) => first.replace(one).is_some(),
            (None, Some(one)) => second.replace(one).is_some(),
            (None, None) => false,
        };
        if is_again {
            return Err(Report::mistake(format!(
                "--{what} is given twice: a bridge network has one of each kind"
            )));
        }
    }
    Ok((first, second))
}

/// Makes a network.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let subnets = (
        |subnet| if let AnySubnet::V4(subnet) = subnet { Some(subnet) } else { None },
        |subnet| if let AnySubnet::V6(subnet) = subnet { Some(subnet) } else { None },
    );
    let addresses = (
        |address| if let IpAddr::V4(address) = address { Some(address) } else { None },
        |address| if let IpAddr::V6(address) = address { Some(address) } else { None },
    );
    let (subnet, subnet6) = of_each("subnet", &args.subnet, &subnets)?;
    let (range, range6) = of_each("ip-range", &args.ip_range, &subnets)?;
    let (gateway, gateway6) = of_each("gateway", &args.gateway, &addresses)?;
    let network = NewNetwork {
        name: args.name,
        driver: args.driver,
        subnet,
        range,
        gateway,
        has_ipv6: args.ipv6,
        ipv6: NewIpv6 { subnet: subnet6, range: range6, gateway: gateway6 },
        is_internal: args.internal,
        is_attachable: args.attachable,
        labels: args.label.into_iter().collect(),
        options: args.option.into_iter().collect(),
    };
    let id = store::open(global)?.create_network(&network)?;
    console::print(&format!("{id}\n"))
}
