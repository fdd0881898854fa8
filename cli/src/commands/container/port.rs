//! `slipway port`.

use engine::networks::parse_exposed;

use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// List port mappings or a specific mapping for the container
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway port CONTAINER [PRIVATE_PORT[/PROTO]]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container port, slipway port"
)]
pub(crate) struct Args {
    /// Name or ID
    #[arg(value_name = "CONTAINER", hide = true)]
    container: String,
    /// A port of the container
    #[arg(value_name = "PORT", hide = true)]
    port: Option<String>,
}

/// Shows where the ports of a container are.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let container = store::open(global)?.container(&args.container)?;
    let mut ports = container.state.ports;
    ports.sort_by_key(|port| (port.container, port.protocol, port.host));
    let Some(text) = &args.port else {
        let line = |port: &engine::networks::PublishedPort| {
            format!("{}/{} -> {}\n", port.container, port.protocol.name(), port.host)
        };
        return console::print(&ports.iter().map(line).collect::<String>());
    };
    let (range, protocol) = parse_exposed(text).map_err(|error| Report::mistake(error.to_string()))?;
    let number = *range.start();
    let found = ports.iter().filter(|port| port.container == number && port.protocol == protocol);
    let lines: String = found.map(|port| format!("{}\n", port.host)).collect();
    if lines.is_empty() {
        let name = protocol.name();
        return Err(Report::mistake(format!(
            "no public port '{number}/{name}' published for {}",
            args.container
        )));
    }
    console::print(&lines)
}
