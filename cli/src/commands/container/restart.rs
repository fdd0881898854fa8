//! `slipway restart`.

use engine::containers::{ContainerError, Streams};

use super::each;
use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Restart one or more containers
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway restart [OPTIONS] CONTAINER [CONTAINER...]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container restart, slipway restart"
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

/// Stops containers that run, and starts them.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let engine = store::open_to_start(global, &args.containers)?;
    each(&args.containers, |name| {
        engine.stop_container(name, args.signal.as_deref(), args.timeout)?;
        engine.start_container(name, Streams::default(), console::window_size(), None)?;
        engine.tell_restart(name)?;
        Ok::<_, ContainerError>(())
    })
}
