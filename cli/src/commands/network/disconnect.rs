//! `slipway network disconnect`.

use engine::containers::ContainerError;

use crate::arguments::Global;
use crate::report::{Exit, Report};
use crate::store;

/// Disconnect a container from a network
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway network disconnect [OPTIONS] NETWORK CONTAINER", help_template = super::HELP)]
pub(crate) struct Args {
    /// Name or ID of the network
    #[arg(value_name = "NETWORK", hide = true)]
    network: String,
    /// Name or ID of the container
    #[arg(value_name = "CONTAINER", hide = true)]
    container: String,
    /// Do not complain about a container that is not there
    #[arg(short, long)]
    force: bool,
}

/// Makes a container leave a network.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    match store::open(global)?.disconnect_container(&args.container, &args.network) {
        Err(ContainerError::NoSuchContainer { .. }) if args.force => Ok(Exit::Success),
        result => Ok(result.map(|()| Exit::Success)?),
    }
}
