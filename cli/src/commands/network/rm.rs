//! `slipway network rm`.

use engine::networks::NetworkError;

use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Remove one or more networks
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway network rm [OPTIONS] NETWORK [NETWORK...]",
    help_template = crate::commands::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway network rm, slipway network remove"
)]
pub(crate) struct Args {
    /// Names or IDs
    #[arg(value_name = "NETWORK", required = true, hide = true)]
    names: Vec<String>,
    /// Do not error if the network does not exist
    #[arg(short, long)]
    force: bool,
}

/// Removes networks.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let engine = store::open(global)?;
    let (mut removed, mut exit) = (String::new(), Exit::Success);
    for name in &args.names {
        match engine.remove_network(name) {
            Ok(()) => removed += &format!("{name}\n"),
            Err(NetworkError::NotFound { .. }) if args.force => {}
            Err(error) => exit = Report::from(error).print(),
        }
    }
    let printed = console::print(&removed)?;
    Ok(if printed == Exit::Success { exit } else { printed })
}
