//! `slipway wait`.

use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Block until one or more containers stop, then print their exit codes
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway wait CONTAINER [CONTAINER...]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container wait, slipway wait"
)]
pub(crate) struct Args {
    /// Names or IDs
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    containers: Vec<String>,
}

/// Waits for containers, and prints their exit codes.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let engine = store::open(global)?;
    let mut exit = Exit::Success;
    for name in &args.containers {
        match engine.wait_container(name) {
            Ok(code) => {
                console::print(&format!("{code}\n"))?;
            }
            Err(error) => exit = Report::from(error).print(),
        }
    }
    Ok(exit)
}
