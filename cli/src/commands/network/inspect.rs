//! `slipway network inspect`.

use crate::arguments::Global;
use crate::commands::inspect::{Layout, show};
use crate::report::{Exit, Report};
use crate::store;

/// Display detailed information on one or more networks
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway network inspect [OPTIONS] NETWORK [NETWORK...]", help_template = super::HELP)]
pub(crate) struct Args {
    /// Names or IDs
    #[arg(value_name = "NETWORK", required = true, hide = true)]
    names: Vec<String>,
    #[arg(short, long, value_name = "FORMAT", help = crate::commands::FORMAT_HELP)]
    format: Option<String>,
}

/// Shows everything about networks.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let layout = Layout::parse(args.format.as_deref())?;
    let engine = store::open(global)?;
    show(&args.names, &layout, |name| Ok(engine.network(name)?))
}
