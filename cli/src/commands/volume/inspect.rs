//! `slipway volume inspect`.

use crate::arguments::Global;
use crate::commands::inspect::{Layout, show};
use crate::report::{Exit, Report};
use crate::store;

/// Display detailed information on one or more volumes
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway volume inspect [OPTIONS] VOLUME [VOLUME...]", help_template = super::HELP)]
pub(crate) struct Args {
    /// Names
    #[arg(value_name = "VOLUME", required = true, hide = true)]
    names: Vec<String>,
    #[arg(short, long, value_name = "FORMAT", help = crate::commands::FORMAT_HELP)]
    format: Option<String>,
}

/// Shows everything about volumes.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let layout = Layout::parse(args.format.as_deref())?;
    let engine = store::open(global)?;
    show(&args.names, &layout, |name| Ok(engine.volume(name)?))
}
