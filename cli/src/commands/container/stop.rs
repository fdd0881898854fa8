//! `slipway stop`.

use super::each;
use crate::arguments::Global;
use crate::report::{Exit, Report};
use crate::store;

/// Stop one or more running containers
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway stop [OPTIONS] CONTAINER [CONTAINER...]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container stop, slipway stop"
)]
pub(crate) struct Args {
    /// Names or IDs
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    containers: Vec<String>,
    /// Signal to send to the container
    #[arg(short, long, value_name = "SIGNAL")]
    signal: Option<String>,
    /// Seconds to wait before killing the container; -1 to wait for ever
    #[arg(short, long, alias = "time", value_name = "SECONDS", allow_hyphen_values = true)]
    timeout: Option<i64>,
}

/// Stops containers, and waits until they have ended.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let engine = store::open(global)?;
    each(&args.containers, |name| {
        engine.stop_container(name, args.signal.as_deref(), args.timeout).map(|_| ())
    })
}
