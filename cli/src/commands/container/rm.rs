//! `slipway rm`.

use engine::containers::{ContainerError, Removal};

use super::each;
use crate::arguments::Global;
use crate::report::{Exit, Report};
use crate::store;

/// Remove one or more containers
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway rm [OPTIONS] CONTAINER [CONTAINER...]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container rm, slipway rm"
)]
pub(crate) struct Args {
    /// Names or IDs
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    containers: Vec<String>,
    /// Force the removal of a running container (uses SIGKILL)
    #[arg(short, long)]
    force: bool,
    /// Remove anonymous volumes associated with the container
    #[arg(short, long)]
    volumes: bool,
}

/// Removes containers.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let engine = store::open(global)?;
    let removal = if args.force { Removal::Any } else { Removal::Ended };
    each(&args.containers, |name| match engine.remove_container(name, removal) {
        // What is forced away may have been away before.
        Err(ContainerError::NoSuchContainer { .. }) if args.force => Ok(()),
        removed => removed.map(|container| {
            if args.volumes {
                engine.remove_anonymous_volumes(&container);
            }
        }),
    })
}
