//! `slipway network prune`.

use engine::networks::NetworkFilters;

use crate::arguments::Global;
use crate::commands::prune::confirm;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

const QUESTION: &str = "WARNING! This will remove all custom networks not used by at least one container.\n\
                        Are you sure you want to continue?";
const FILTERS: [&str; 2] = ["label", "until"];

/// Remove all unused networks
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway network prune [OPTIONS]", help_template = super::HELP)]
pub(crate) struct Args {
    /// Provide filter values (e.g. "until=24h"; label)
    #[arg(long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

/// Removes networks that nobody uses.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let filters = NetworkFilters::parse(args.filter.iter().map(String::as_str), &FILTERS)?;
    if !args.force && !confirm(QUESTION)? {
        return Ok(Exit::Success);
    }
    console::print(&deleted(&store::open(global)?.prune_networks(&filters)?))
}

/// The list of networks that are gone, with an empty line behind it; nothing if there are none.
pub(crate) fn deleted(names: &[String]) -> String {
    if names.is_empty() {
        return String::new();
    }
    format!("Deleted Networks:\n{}\n\n", names.join("\n"))
}
