//! `slipway volume`: one file for each command.

pub(crate) mod create;
pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod prune;
pub(crate) mod rm;

use clap::Subcommand;

use super::HELP;
use crate::arguments::Global;
use crate::report::{Exit, Report};

/// Manage volumes
#[derive(Debug, Subcommand)]
#[command(override_usage = "slipway volume COMMAND", help_template = HELP, arg_required_else_help = true, subcommand_value_name = "COMMAND")]
pub(crate) enum VolumeCommand {
    Create(create::Args),
    Inspect(inspect::Args),
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    Prune(prune::Args),
    #[command(visible_alias = "remove")]
    Rm(rm::Args),
}

/// Runs the command that was asked for.
pub(crate) fn run(command: VolumeCommand, global: &Global) -> Result<Exit, Report> {
    match command {
        VolumeCommand::Create(args) => create::run(args, global),
        VolumeCommand::Inspect(args) => inspect::run(&args, global),
        VolumeCommand::Ls(args) => ls::run(&args, global),
        VolumeCommand::Prune(args) => prune::run(&args, global),
        VolumeCommand::Rm(args) => rm::run(&args, global),
    }
}
