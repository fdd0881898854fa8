//! As `buildkitd`: the daemon with BuildKit's flags and its file.

mod config;
mod options;
pub(super) mod places;

use std::path::PathBuf;

use daemon::Settings;

use super::flags::{self, Flag, Kind};
use super::tell_ignored;
use crate::arguments::Global;
use crate::commands::daemon::{serve, tls_files};
use crate::console;
use crate::diagnostics;
use crate::registries::RegistryArgs;
use crate::report::{Exit, Report};
use options::Options;

use Kind::{Switch, Value};

/// The name that it is called by.
const NAME: &str = "buildkitd";

/// What has a counterpart.
#[rustfmt::skip]
const FLAGS: &[Flag] = &[
    ("addr", None, Value), ("allow-insecure-entitlement", None, Value), ("config", None, Value), ("containerd-worker", None, Value),
    ("debug", None, Switch), ("group", None, Value), ("help", Some('h'), Switch), ("oci-max-parallelism", None, Value),
    ("oci-worker", None, Value), ("oci-worker-gc", None, Switch), ("oci-worker-gc-keepstorage", None, Value),
    ("oci-worker-labels", None, Value), ("oci-worker-platform", None, Value), ("root", None, Value), ("tlscacert", None, Value),
    ("tlscert", None, Value), ("tlskey", None, Value), ("trace", None, Switch), ("version", Some('v'), Switch),
];
/// What has none: there is one worker, which finds out by itself what the kernel lets it do.
#[rustfmt::skip]
const IGNORED: &[Flag] = &[
    ("cdi-auto-allowed", None, Value), ("cdi-disabled", None, Switch), ("cdi-spec-dir", None, Value),
    ("containerd-cni-binary-dir", None, Value), ("containerd-cni-config-path", None, Value), ("containerd-cni-pool-size", None, Value),
    ("containerd-max-parallelism", None, Value), ("containerd-worker-addr", None, Value),
    ("containerd-worker-apparmor-profile", None, Value), ("containerd-worker-gc", None, Switch),
    ("containerd-worker-gc-keepstorage", None, Value), ("containerd-worker-labels", None, Value),
    ("containerd-worker-namespace", None, Value), ("containerd-worker-net", None, Value), ("containerd-worker-platform", None, Value),
    ("containerd-worker-rootless", None, Switch), ("containerd-worker-runtime", None, Value), ("containerd-worker-selinux", None, Switch),
    ("containerd-worker-snapshotter", None, Value), ("debugaddr", None, Value), ("log-format", None, Value),
    ("oci-cni-binary-dir", None, Value), ("oci-cni-config-path", None, Value), ("oci-cni-pool-size", None, Value),
    ("oci-worker-apparmor-profile", None, Value), ("oci-worker-binary", None, Value), ("oci-worker-net", None, Value),
    ("oci-worker-no-process-sandbox", None, Switch), ("oci-worker-proxy-snapshotter-path", None, Value),
    ("oci-worker-rootless", None, Switch), ("oci-worker-selinux", None, Switch), ("oci-worker-snapshotter", None, Value),
    ("otel-socket-path", None, Value), ("provenance-env-dir", None, Value), ("rootless", None, Switch), ("save-cache-debug", None, Switch),
];

/// Serves until it is told to end.
pub(super) fn run(words: &[String]) -> Result<Exit, Report> {
    let (given, others) = flags::parse(words, &[FLAGS, IGNORED].concat())?;
    if let Some(other) = others.first() {
        return Err(Report::mistake(format!("unexpected argument `{other}`")));
    }
    let is_on = |name: &str| given.iter().any(|flag| flag.name == name && flag.is_on());
    if is_on("version") {
        return console::print(&format!("{NAME} slipway v{}\n", env!("CARGO_PKG_VERSION")));
    }
    if is_on("help") {
        return console::print(&help());
    }
    let mut options = Options::default();
    let named = given.iter().rev().find(|flag| flag.name == "config").map(|flag| PathBuf::from(&flag.value));
    match named.or_else(places::config) {
        Some(path) if path.exists() => config::read(&path, &mut options)?,
        Some(path) if given.iter().any(|flag| flag.name == "config") => {
            console::print_error(&format!("there is no `{}`, which could say more\n", path.display()));
        }
        _ => {}
    }
    options.apply(&given, |name| IGNORED.iter().any(|(ignored, ..)| *ignored == name))?;
    tell_ignored(NAME, &options.ignored);
    diagnostics::install(options.debug);
    let global =
        Global { root: Some(options.root.clone().map_or_else(places::root, Ok)?), debug: options.debug };
    let limits = options.limits();
    serve(settings(options)?, &global, limits)
}

fn settings(options: Options) -> Result<Settings, Report> {
    let mut registries = RegistryArgs::unsaid().settings()?;
    for (name, said) in options.registries {
        registries.registries.insert(name, said);
    }
    let addresses = match options.addresses.is_empty() {
        true => vec![places::address()],
        false => options.addresses,
    };
    let parsed = |text: &String| {
        text.parse().map_err(|error: daemon::InvalidAddress| Report::mistake(error.to_string()))
    };
    Ok(Settings {
        addresses: addresses.iter().map(parsed).collect::<Result<_, _>>()?,
        socket_owner: options.socket_owner,
        tls: tls_files(options.tls_certificate, options.tls_key, options.tls_authority)?,
        registries,
        entitlements: options.entitlements,
        labels: options.labels,
        platforms: options.platforms,
        max_parallelism: options.max_parallelism,
        ..Settings::default()
    })
}

fn help() -> String {
    let mut text = format!(
        "Usage: {NAME} [OPTIONS]\n\nBuildKit's flags and file, see docs/drop-ins.md. What counts here:\n"
    );
    for (name, _, kind) in FLAGS {
        let value = if *kind == Value { " VALUE" } else { "" };
        text += &format!("  --{name}{value}\n");
    }
    text
}
