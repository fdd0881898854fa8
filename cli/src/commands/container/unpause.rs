//! `slipway unpause`.

use super::each;
use crate::arguments::Global;
use crate::report::{Exit, Report};
use crate::store;

/// Unpause all processes within one or more containers
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway unpause CONTAINER [CONTAINER...]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container unpause, slipway unpause"
)]
pub(crate) struct Args {
    /// Names or IDs
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    containers: Vec<String>,
}

/// Lets containers go on.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let engine = store::open(global)?;
    each(&args.containers, |name| engine.unpause_container(name))
}
