//! `slipway builder prune`.

use engine::space::{PruneOptions, add_filter};

use super::prune::{confirm, deleted_caches, parse_size, total};
use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

const DANGLING: &str =
    "WARNING! This will remove all dangling build cache. Are you sure you want to continue?";
const ALL: &str = "WARNING! This will remove all build cache. Are you sure you want to continue?";

/// Remove build cache
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway builder prune [OPTIONS]", help_template = super::HELP)]
pub(crate) struct Args {
    /// Remove all unused build cache, not just what frees space: also records of steps whose layers images have
    #[arg(short, long)]
    all: bool,
    /// Provide filter values (e.g. "until=24h"; id, type, until)
    #[arg(long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
    /// Amount of disk space always allowed to keep for cache
    #[arg(long, value_name = "BYTES", value_parser = parse_size, visible_alias = "keep-storage")]
    reserved_space: Option<u64>,
    /// Maximum amount of disk space allowed to keep for cache
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    max_used_space: Option<u64>,
    /// Target amount of free disk space after pruning
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    min_free_space: Option<u64>,
}

/// Removes what of the build cache nobody uses.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let mut options = PruneOptions {
        max_used_bytes: args.max_used_space,
        reserved_bytes: args.reserved_space,
        min_free_bytes: args.min_free_space,
        all: args.all,
        ..PruneOptions::default()
    };
    for filter in &args.filter {
        add_filter(&mut options, filter).map_err(|error| Report::mistake(error.to_string()))?;
    }
    if !args.force && !confirm(if args.all { ALL } else { DANGLING })? {
        return Ok(Exit::Success);
    }
    let pruned = store::open(global)?.prune_cache(&options).map_err(|error| Report::of_store(&error))?;
    console::print(&(deleted_caches(&pruned.ids) + &total(pruned.bytes)))
}
