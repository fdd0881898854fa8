//! `slipway container prune`.

use std::collections::HashSet;

use engine::containers::ContainerFilters;

use crate::arguments::Global;
use crate::commands::prune::{confirm, total};
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

const QUESTION: &str =
    "WARNING! This will remove all stopped containers.\nAre you sure you want to continue?";

/// Remove all stopped containers
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway container prune [OPTIONS]", help_template = super::super::HELP)]
pub(crate) struct Args {
    /// Provide filter values (e.g. "until=24h"; label, until)
    #[arg(long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

/// Removes containers that do not run.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let filters = ContainerFilters::parse(args.filter.iter().map(String::as_str))?;
    if !args.force && !confirm(QUESTION)? {
        return Ok(Exit::Success);
    }
    let engine = store::open(global)?;
    let wanted = engine.filter_containers(engine.containers()?, &filters)?;
    let wanted: HashSet<String> = wanted.into_iter().map(|container| container.config.id).collect();
    let (ids, bytes) = engine.prune_containers(|container| wanted.contains(&container.config.id))?;
    console::print(&(deleted(&ids) + &total(bytes)))
}

/// The list of containers that are gone, with an empty line behind it; nothing if there are none.
pub(crate) fn deleted(ids: &[String]) -> String {
    if ids.is_empty() {
        return String::new();
    }
    format!("Deleted Containers:\n{}\n\n", ids.join("\n"))
}
