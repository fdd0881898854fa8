//! `slipway update`.

use engine::containers::{Restart, Update};

use super::each;
use crate::arguments::Global;
use crate::commands::limits::ContainerLimitArgs;
use crate::report::{Exit, Report};
use crate::store;

/// Update configuration of one or more containers
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway update [OPTIONS] CONTAINER [CONTAINER...]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container update, slipway update"
)]
pub(crate) struct Args {
    /// Names or IDs
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    containers: Vec<String>,
    #[command(flatten)]
    limits: ContainerLimitArgs,
    /// Restart policy to apply when a container exits
    #[arg(long, value_name = "POLICY")]
    restart: Option<Restart>,
}

/// Changes limits and restart policies.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let update = Update { resources: args.limits.into(), restart: args.restart };
    if !update.resources.parent.is_empty() {
        return Err(Report::mistake("the parent control group of a container cannot be changed"));
    }
    if update == Update::default() {
        return Err(Report::mistake("you must provide one or more flags when using this command"));
    }
    let engine = store::open(global)?;
    each(&args.containers, |name| engine.update_container(name, &update))
}
