//! `slipway image prune`.

use engine::images::Filters;

use super::prune::{confirm, deleted_images, total};
use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

const DANGLING: &str = "WARNING! This will remove all dangling images.\nAre you sure you want to continue?";
const ALL: &str = "WARNING! This will remove all images without at least one container associated to them.\n\
                   Are you sure you want to continue?";

/// Remove unused images
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway image prune [OPTIONS]", help_template = super::HELP)]
pub(crate) struct Args {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "until=24h"; dangling, label, until)
    #[arg(long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

/// Removes images that nobody uses.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let filters = Filters::parse(args.filter.iter().map(String::as_str))?;
    if !args.force && !confirm(if args.all { ALL } else { DANGLING })? {
        return Ok(Exit::Success);
    }
    let pruned = store::open(global)?.prune_images(args.all, &filters)?;
    console::print(&(deleted_images(&pruned.removed) + &total(pruned.bytes)))
}
