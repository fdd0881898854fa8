//! `slipway volume prune`.

use engine::volumes::VolumeFilters;

use crate::arguments::Global;
use crate::commands::prune::{confirm, total};
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

const ANONYMOUS: &str = "WARNING! This will remove anonymous local volumes not used by at least one container.\n\
                         Are you sure you want to continue?";
const ALL: &str = "WARNING! This will remove all local volumes not used by at least one container.\n\
                   Are you sure you want to continue?";
const FILTERS: [&str; 2] = ["all", "label"];

/// Remove unused local volumes
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway volume prune [OPTIONS]", help_template = super::HELP)]
pub(crate) struct Args {
    /// Remove all unused volumes, not just anonymous ones
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "label=NAME" or "label!=NAME=VALUE")
    #[arg(long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

/// Removes volumes that nobody uses.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let filters = VolumeFilters::parse(args.filter.iter().map(String::as_str), &FILTERS)?;
    let filters = VolumeFilters { all: filters.all || args.all, ..filters };
    if !args.force && !confirm(if filters.all { ALL } else { ANONYMOUS })? {
        return Ok(Exit::Success);
    }
    let pruned = store::open(global)?.prune_volumes(&filters)?;
    console::print(&(deleted(&pruned.names) + &total(pruned.bytes)))
}

/// The list of volumes that are gone, with an empty line behind it; nothing if there are none.
pub(crate) fn deleted(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    format!("Deleted Volumes:\n{}\n\n", names.join("\n"))
}
