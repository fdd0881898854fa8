//! `slipway rename`.

use crate::arguments::Global;
use crate::report::{Exit, Report};
use crate::store;

/// Rename a container
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway rename CONTAINER NEW_NAME",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container rename, slipway rename"
)]
pub(crate) struct Args {
    /// Name or ID
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    container: String,
    /// What it is to be called
    #[arg(value_name = "NEW_NAME", required = true, hide = true)]
    name: String,
}

/// Gives a container another name.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    store::open(global)?.rename_container(&args.container, &args.name)?;
    Ok(Exit::Success)
}
