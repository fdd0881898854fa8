//! `slipway pause`.

use super::each;
use crate::arguments::Global;
use crate::report::{Exit, Report};
use crate::store;

/// Pause all processes within one or more containers
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway pause CONTAINER [CONTAINER...]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container pause, slipway pause"
)]
pub(crate) struct Args {
    /// Names or IDs
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    containers: Vec<String>,
}

/// Lets everything in containers stand still.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let engine = store::open(global)?;
    each(&args.containers, |name| engine.pause_container(name))
}
