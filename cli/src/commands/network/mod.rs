//! `slipway network`: one file for each command.

pub(crate) mod connect;
pub(crate) mod create;
pub(crate) mod disconnect;
pub(crate) mod inspect;
pub(crate) mod ls;
pub(crate) mod prune;
pub(crate) mod rm;

use clap::Subcommand;

use super::HELP;
use crate::arguments::Global;
use crate::report::{Exit, Report};

/// Manage networks
#[derive(Debug, Subcommand)]
#[command(override_usage = "slipway network COMMAND", help_template = HELP, arg_required_else_help = true, subcommand_value_name = "COMMAND")]
pub(crate) enum NetworkCommand {
    Connect(connect::Args),
    Create(create::Args),
    Disconnect(disconnect::Args),
    Inspect(inspect::Args),
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    Prune(prune::Args),
    #[command(visible_alias = "remove")]
    Rm(rm::Args),
}

/// Runs the command that was asked for.
pub(crate) fn run(command: NetworkCommand, global: &Global) -> Result<Exit, Report> {
    match command {
        NetworkCommand::Connect(args) => connect::run(args, global),
        NetworkCommand::Disconnect(args) => disconnect::run(&args, global),
        NetworkCommand::Create(args) => create::run(args, global),
        NetworkCommand::Inspect(args) => inspect::run(&args, global),
        NetworkCommand::Ls(args) => ls::run(&args, global),
        NetworkCommand::Prune(args) => prune::run(&args, global),
        NetworkCommand::Rm(args) => rm::run(&args, global),
    }
}
