//! `slipway daemon`.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::path::PathBuf;

use daemon::{Address, DaemonError, Settings, SocketOwner, TlsFiles};
use engine::Entitlement;

use super::build::cache_clients::OF_CLIENTS;
use crate::arguments::Global;
use crate::console;
use crate::registries::RegistryArgs;
use crate::report::{Exit, Report};
use crate::runtime::{Interrupted, interruptible};
use crate::service_manager::{self, State};
use crate::store::{self, Limits};

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
    /// Certificate that tells clients at TCP addresses who this is, in PEM form
    #[arg(long, value_name = "FILE", requires = "tlskey")]
    tlscert: Option<PathBuf>,
    /// Key of the certificate, in PEM form
    #[arg(long, value_name = "FILE", requires = "tlscert")]
    tlskey: Option<PathBuf>,
    /// Who signs the certificates of clients: without one, or with another, they are refused
    #[arg(long, value_name = "FILE", requires = "tlscert")]
    tlscacert: Option<PathBuf>,
    /// Steps of all builds together that run at the same time
    #[arg(long, value_name = "NUMBER")]
    max_parallelism: Option<NonZeroUsize>,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Serves until it is told to end.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let settings = Settings {
        addresses: args.addr,
        socket_owner: SocketOwner::default(),
        tls: tls_files(args.tlscert, args.tlskey, args.tlscacert)?,
        registries: args.registry.settings()?,
        entitlements: args.allow,
        max_parallelism: args.max_parallelism,
        ..Settings::default()
    };
    serve(settings, global, Limits::new())
}

/// Who the daemon is over TCP, and who its clients have to be.
pub(crate) fn tls_files(
    certificate: Option<PathBuf>,
    key: Option<PathBuf>,
    authority: Option<PathBuf>,
) -> Result<Option<TlsFiles>, Report> {
    match (certificate, key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key, authority })),
        (None, None) if authority.is_none() => Ok(None),
        _ => Err(Report::mistake("a daemon with TLS needs a certificate and its key")
            .hint("give both `--tlscert FILE` and `--tlskey FILE`")),
    }
}

/// The same with settings that come from elsewhere.
pub(crate) fn serve(settings: Settings, global: &Global, limits: Limits) -> Result<Exit, Report> {
    let engine = store::open_with_limits(global, limits)?;
    let settings = Settings { keyed_caches: Some(OF_CLIENTS), ..settings };
    warn_of_open_doors(&settings);
    let on_ready = |places: &[String]| {
        for place in places {
            console::print_error(&format!("listening at {place}\n"));
        }
        service_manager::tell(State::Ready);
    };
    let served = interruptible(daemon::serve(engine, settings, on_ready));
    service_manager::tell(State::Stopping);
    match served? {
        Ok(served) => served.map(|()| Exit::Success).map_err(|error| failed(&error)),
        // That is how it ends.
        Err(Interrupted) => Ok(Exit::Success),
    }
}

/// Who can build can run anything here, so nobody should be let in by mistake.
fn warn_of_open_doors(settings: &Settings) {
    let asks_clients = settings.tls.as_ref().is_some_and(|tls| tls.authority.is_some());
    for address in settings.addresses.iter().filter(|address| !asks_clients && is_beyond_here(address)) {
        console::print_error(&format!(
            "WARNING: whoever reaches {address} can build here: give `--tlscert`, `--tlskey` and `--tlscacert`\n"
        ));
    }
}

fn is_beyond_here(address: &Address) -> bool {
    let Address::Tcp(place) = address else { return false };
    match place.parse::<SocketAddr>().map(|place| place.ip()) {
        Ok(IpAddr::V4(ip)) => !ip.is_loopback(),
        Ok(IpAddr::V6(ip)) => !ip.is_loopback(),
        Err(_) => !place.starts_with("localhost:"),
    }
}

fn failed(error: &DaemonError) -> Report {
    match error {
        DaemonError::Listen { .. } => Report::machine(error).hint("name another place with `--addr ADDRESS`"),
        DaemonError::Tls(_) => Report::mistake_of(error),
        DaemonError::Kept { .. } => Report::machine(error),
    }
}
