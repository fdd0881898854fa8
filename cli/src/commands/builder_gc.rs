//! `slipway builder gc`.

use engine::space::{Ceiling, Share};

use super::prune::{deleted_caches, total};
use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Remove the build cache that is beyond the limits of the store, the least recently used first. Commands start this
/// in the background when they have passed a limit
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway builder gc [OPTIONS]", help_template = super::HELP)]
pub(crate) struct Args {
    /// Maximum amount of disk space allowed to keep for cache, in bytes or percent of the disk; 0 is no limit
    /// (default: 80%, at most 100 GB)
    #[arg(long, value_name = "SPACE", env = store::MAX_USED_SPACE, hide_env_values = true)]
    max_used_space: Option<Share>,
    /// Amount of disk space always allowed to keep for cache (default: 10%, at most 10 GB)
    #[arg(long, value_name = "SPACE", env = store::RESERVED_SPACE, hide_env_values = true)]
    #[arg(visible_alias = "keep-storage")]
    reserved_space: Option<Share>,
    /// Target amount of free disk space (default: 20%)
    #[arg(long, value_name = "SPACE", env = store::MIN_FREE_SPACE, hide_env_values = true)]
    min_free_space: Option<Share>,
}

/// Removes what is beyond the ceiling.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let default = Ceiling::default();
    let ceiling = Ceiling {
        max_used: args.max_used_space.unwrap_or(default.max_used),
        reserved: args.reserved_space.unwrap_or(default.reserved),
        min_free: args.min_free_space.unwrap_or(default.min_free),
    };
    let collected = store::open(global)?.collect(&ceiling).map_err(|error| Report::of_store(&error))?;
    match collected {
        Some(pruned) => console::print(&(deleted_caches(&pruned.ids) + &total(pruned.bytes))),
        None => console::print("Another collection goes on\n"),
    }
}
