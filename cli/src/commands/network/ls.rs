//! `slipway network ls`.

use engine::networks::{Network, NetworkFilters};

use crate::arguments::Global;
use crate::console;
use crate::output::{Format, Headers};
use crate::report::{Exit, Report};
use crate::store;
use crate::template::Value;

const TABLE: &str = "table {{.ID}}\t{{.Name}}\t{{.Driver}}\t{{.Scope}}";
const QUIET: &str = "{{.ID}}";
const HEADERS: &Headers = &[
    ("CreatedAt", "CREATED AT"),
    ("Driver", "DRIVER"),
    ("ID", "NETWORK ID"),
    ("IPv4", "IPV4"),
    ("IPv6", "IPV6"),
    ("Internal", "INTERNAL"),
    ("Labels", "LABELS"),
    ("Name", "NAME"),
    ("Scope", "SCOPE"),
];
const FILTERS: [&str; 7] = ["dangling", "driver", "id", "label", "name", "scope", "type"];
/// Digits of an id that people see.
const SHORT_ID_DIGITS: usize = 12;

/// List networks
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway network ls [OPTIONS]",
    help_template = crate::commands::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway network ls, slipway network list"
)]
pub(crate) struct Args {
    /// Provide filter values (dangling, driver, id, label, name, scope, type)
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    #[arg(long, value_name = "FORMAT", help = crate::commands::LIST_FORMAT_HELP)]
    format: Option<String>,
    /// Do not truncate the output
    #[arg(long)]
    no_trunc: bool,
    /// Only display network IDs
    #[arg(short, long)]
    quiet: bool,
}

/// Lists networks.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let source = args.format.as_deref().unwrap_or("table");
    let format = Format::parse(source, if args.quiet { QUIET } else { TABLE })?;
    let filters = NetworkFilters::parse(args.filter.iter().map(String::as_str), &FILTERS)?;
    let networks = store::open(global)?.networks(&filters)?;
    let rows: Vec<Value> = networks.iter().map(|network| row(network, args.no_trunc)).collect();
    console::print(&format.render(&rows, HEADERS)?)
}

fn row(network: &Network, no_trunc: bool) -> Value {
    let id = if no_trunc { network.id.as_str() } else { &network.id[..SHORT_ID_DIGITS] };
    let labels = network.labels.iter().map(|(name, value)| format!("{name}={value}"));
    Value::record([
        ("CreatedAt", Value::from(network.created.as_str())),
        ("Driver", Value::from(network.driver.as_str())),
        ("ID", Value::from(id)),
        ("IPv4", Value::from(network.enable_ipv4.to_string())),
        ("IPv6", Value::from(network.enable_ipv6.to_string())),
        ("Internal", Value::from(network.internal.to_string())),
        ("Labels", Value::from(labels.collect::<Vec<_>>().join(","))),
        ("Name", Value::from(network.name.as_str())),
        ("Scope", Value::from(network.scope.as_str())),
    ])
}
