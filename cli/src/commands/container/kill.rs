//! `slipway kill`.

use super::each;
use crate::arguments::Global;
use crate::report::{Exit, Report};
use crate::store;

/// Kill one or more running containers
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway kill [OPTIONS] CONTAINER [CONTAINER...]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container kill, slipway kill"
)]
pub(crate) struct Args {
    /// Names or IDs
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    containers: Vec<String>,
    /// Signal to send to the container
    #[arg(short, long, value_name = "SIGNAL", default_value = "KILL", hide_default_value = true)]
    signal: String,
}

/// Sends a signal to containers.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let engine = store::open(global)?;
    each(&args.containers, |name| engine.kill_container(name, &args.signal))
}
