//! `slipway volume rm`.

use engine::volumes::VolumeError;

use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Remove one or more volumes. You cannot remove a volume that is in use by a container.
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway volume rm [OPTIONS] VOLUME [VOLUME...]",
    help_template = crate::commands::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway volume rm, slipway volume remove"
)]
pub(crate) struct Args {
    /// Names
    #[arg(value_name = "VOLUME", required = true, hide = true)]
    names: Vec<String>,
    /// Do not complain about volumes that are not there
    #[arg(short, long)]
    force: bool,
}

/// Removes volumes.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let engine = store::open(global)?;
    let (mut removed, mut exit) = (String::new(), Exit::Success);
    for name in &args.names {
        match engine.remove_volume(name) {
            Ok(()) => removed += &format!("{name}\n"),
            Err(VolumeError::NotThere { .. }) if args.force => removed += &format!("{name}\n"),
            Err(error) => exit = Report::from(error).print(),
        }
    }
    let printed = console::print(&removed)?;
    Ok(if printed == Exit::Success { exit } else { printed })
}
