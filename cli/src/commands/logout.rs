//! `slipway logout`.

use engine::registries::Client;

use super::login::domain;
use crate::console;
use crate::registries::RegistryArgs;
use crate::report::{Exit, Report};
use crate::runtime::{Interrupted, interruptible};

/// Log out from a registry
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway logout [OPTIONS] [SERVER]", help_template = super::HELP)]
pub(crate) struct Args {
    /// The registry, Docker Hub when none is given
    #[arg(value_name = "SERVER", hide = true)]
    server: Option<String>,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Logs out.
pub(crate) fn run(args: Args) -> Result<Exit, Report> {
    let domain = domain(args.server.as_deref());
    let client = Client::new(args.registry.settings()?);
    let was_there = match interruptible(client.logout(&domain))? {
        Ok(was_there) => was_there?,
        Err(Interrupted) => return Ok(Exit::Interrupted),
    };
    console::print(&match was_there {
        true => format!("Removing login credentials for {domain}\n"),
        false => format!("Not logged in to {domain}\n"),
    })
}
