//! `slipway daemon`.

use daemon::{Address, DaemonError, Settings};
use engine::Entitlement;

use crate::arguments::Global;
use crate::console;
use crate::registries::RegistryArgs;
use crate::report::{Exit, Report};
use crate::runtime::{Interrupted, interruptible};
use crate::store;

/// Where clients look that are told nothing else.
const ADDRESS: &str = "unix:///run/slipway/buildkitd.sock";

/// Serve BuildKit's API to docker buildx and other clients
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway daemon [OPTIONS]", help_template = super::HELP)]
pub(crate) struct Args {
    /// Address to listen at ("unix://PATH", "tcp://HOST:PORT", or "fd://" for a socket of systemd)
    #[arg(long, value_name = "ADDRESS", default_value = ADDRESS)]
    addr: Vec<Address>,
    /// Let clients allow it to their builds ("network.host", "security.insecure", "device")
    #[arg(long, value_name = "ENTITLEMENT")]
    allow: Vec<Entitlement>,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Serves until it is told to end.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let settings = Settings {
        addresses: args.addr,
        registries: args.registry.settings()?,
        entitlements: args.allow,
        labels: std::collections::BTreeMap::new(),
    };
    serve(settings, global)
}

fn serve(settings: Settings, global: &Global) -> Result<Exit, Report> {
    let engine = store::open(global)?;
    let on_ready = |places: &[String]| {
        for place in places {
            console::print_error(&format!("listening at {place}\n"));
        }
    };
    match interruptible(daemon::serve(engine, settings, on_ready))? {
        Ok(served) => served.map(|()| Exit::Success).map_err(|error| failed(&error)),
        // That is how it ends.
        Err(Interrupted) => Ok(Exit::Success),
    }
}

fn failed(error: &DaemonError) -> Report {
    let report = Report::machine(error);
    match error {
        DaemonError::Listen { .. } => report.hint("name another place with `--addr ADDRESS`"),
        DaemonError::Kept { .. } => report,
    }
}
