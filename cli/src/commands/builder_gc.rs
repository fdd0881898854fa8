//! `slipway builder gc`.

use std::time::{Duration, Instant};

use engine::space::{Ceiling, Share};
use rustix::process::getppid;

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
    /// Begins when the command that started this has ended, and so holds nothing any more
    #[arg(long, hide = true, value_name = "PID")]
    for_parent: Option<i32>,
}

/// A command that lasts longer than this has its cache collected while it goes on.
const PARENT_TIME_MAX: Duration = Duration::from_secs(2);
const PARENT_PAUSE: Duration = Duration::from_millis(20);
/// How often a collection is tried while another one goes on, which may have looked around before the last growth.
const ATTEMPTS_MAX: u32 = 50;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(100);

/// Removes what is beyond the ceiling.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let default = Ceiling::default();
    let ceiling = Ceiling {
        max_used: args.max_used_space.unwrap_or(default.max_used),
        reserved: args.reserved_space.unwrap_or(default.reserved),
        min_free: args.min_free_space.unwrap_or(default.min_free),
    };
    let attempts = if args.for_parent.is_some() { ATTEMPTS_MAX } else { 1 };
    if let Some(parent) = args.for_parent {
        wait_for_parent(parent);
    }
    let engine = store::open(global)?;
    let mut collected = None;
    for attempt in 0..attempts {
        if attempt > 0 {
            std::thread::sleep(ATTEMPT_PAUSE);
        }
        collected = engine.collect(&ceiling).map_err(|error| Report::of_store(&error))?;
        if collected.is_some() {
            break;
        }
    }
    match collected {
        Some(pruned) => console::print(&(deleted_caches(&pruned.ids) + &total(pruned.bytes))),
        None => console::print("Another collection goes on\n"),
    }
}

fn wait_for_parent(parent: i32) {
    let until = Instant::now() + PARENT_TIME_MAX;
    while getppid().is_some_and(|it| it.as_raw_nonzero().get() == parent) && Instant::now() < until {
        std::thread::sleep(PARENT_PAUSE);
    }
}
