//! What `run` and `create` both let a user say of a container.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::PathBuf;

use engine::Dns;
use engine::containers::{Device, LogLimits, LogMode, Restart, Settings};
use image::Platform;

use super::{Obtaining, Says, environment, health, mounts, networks, privileges, sharing};
use crate::commands::limits::ContainerLimitArgs;
use crate::commands::prune::parse_size;
use crate::commands::pull_policy::PullArg;
use crate::commands::surroundings::SurroundingsArgs;
use crate::progress::{Layers, Stream};
use crate::registries::RegistryArgs;
use crate::report::Report;

/// The options of both commands.
#[derive(Debug, clap::Args)]
pub(crate) struct SettingsArgs {
    /// Name or ID of the image, then the command and its arguments
    #[arg(
        value_name = "IMAGE",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        hide = true
    )]
    words: Vec<String>,
    /// Write the container ID to the file
    #[arg(long, value_name = "FILE")]
    pub(crate) cidfile: Option<PathBuf>,
    /// Add a host device to the container
    #[arg(long, value_name = "HOST[:CONTAINER][:rwm]")]
    device: Vec<Device>,
    /// Set custom DNS servers
    #[arg(long, value_name = "IP")]
    dns: Vec<IpAddr>,
    /// Set DNS options
    #[arg(long, value_name = "OPTION")]
    dns_option: Vec<String>,
    /// Set custom DNS search domains ("." for none)
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Set environment variables; NAME alone takes the value of the environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Add additional groups to join
    #[arg(long, value_name = "GROUP")]
    group_add: Vec<String>,
    /// Print usage
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Container host name
    #[arg(short = 'h', long, value_name = "NAME")]
    hostname: Option<String>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    pub(crate) interactive: bool,
    /// Set meta data on a container
    #[arg(short, long, value_name = "NAME=VALUE")]
    label: Vec<String>,
    /// Read in a line delimited file of labels
    #[arg(long, value_name = "FILE")]
    label_file: Vec<PathBuf>,
    /// Logging driver for the container ("json-file", "none")
    #[arg(long, value_name = "DRIVER", default_value = "json-file", hide_default_value = true)]
    log_driver: LogDriver,
    /// Log driver options ("max-size=20m", "max-file=5", "mode=blocking|non-blocking")
    #[arg(long, value_name = "NAME=VALUE", value_parser = parse_log_option)]
    log_opt: Vec<LogOption>,
    /// Assign a name to the container
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// Platform of the image to pull
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Pull image before running ("always", "missing", "never")
    #[arg(long, value_name = "WHEN", default_value = "missing", hide_default_value = true)]
    pull: PullArg,
    /// Suppress the pull output
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    pub(crate) registry: RegistryArgs,
    // Docker's words, which rustdoc would take for a link.
    #[arg(
        help = "Restart policy to apply when a container exits (\"no\", \"on-failure[:RETRIES]\", \"always\", \"unless-stopped\")"
    )]
    #[arg(long, value_name = "POLICY", default_value = "no", hide_default_value = true)]
    restart: Restart,
    /// Automatically remove the container when it exits
    #[arg(long)]
    rm: bool,
    /// Signal to stop the container
    #[arg(long, value_name = "SIGNAL")]
    stop_signal: Option<String>,
    /// Timeout (in seconds) to stop a container; -1 for none
    #[arg(long, value_name = "SECONDS", allow_hyphen_values = true)]
    stop_timeout: Option<i64>,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    pub(crate) tty: bool,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    #[command(flatten)]
    limits: ContainerLimitArgs,
    #[command(flatten)]
    health: health::HealthArgs,
    #[command(flatten)]
    mounts: mounts::MountArgs,
    #[command(flatten)]
    networks: networks::NetworkArgs,
    #[command(flatten)]
    privileges: privileges::PrivilegeArgs,
    #[command(flatten)]
    sharing: sharing::SharingArgs,
    #[command(flatten)]
    surroundings: SurroundingsArgs,
}

/// Where output is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LogDriver {
    #[value(alias = "local")]
    JsonFile,
    None,
}

/// One `--log-opt`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LogOption {
    MaxSize(u64),
    MaxFile(u32),
    Mode(LogMode),
}

impl SettingsArgs {
    /// How the image is obtained.
    pub(crate) fn obtaining(&self) -> Obtaining {
        Obtaining {
            policy: self.pull.into(),
            platform: self.platform.clone(),
            layers: if self.quiet { Layers::silent() } else { Layers::on(Stream::Stderr) },
            says: if self.quiet { Says::Nothing } else { Says::All },
        }
    }

    /// What the container is to be.
    pub(crate) fn settings(self) -> Result<Settings, Report> {
        let mut words = self.words.into_iter();
        let image = words.next().expect("the parser requires an image");
        if image.starts_with('-') {
            return Err(Report::mistake(format!("unknown flag: {image}")).hint("see 'slipway run --help'"));
        }
        if self.rm && self.restart != Restart::No {
            return Err(Report::mistake("conflicting options: cannot specify both --restart and --rm"));
        }
        let (network, networks, network_of) = self.networks.settings()?;
        let settings = Settings {
            image,
            platform: self.platform,
            command: words.collect(),
            entrypoint: self.entrypoint,
            env: environment::read(&self.env_file, &self.env)?,
            working_dir: self.workdir,
            user: self.user,
            hostname: self.hostname,
            tty: self.tty,
            open_stdin: self.interactive,
            network,
            networks,
            dns: Dns { servers: self.dns, search: self.dns_search, options: self.dns_option },
            surroundings: self.surroundings.into(),
            resources: self.limits.into(),
            privileges: self.privileges.try_into()?,
            mounts: self.mounts.requests()?,
            volumes_from: self.mounts.volumes_from,
            devices: self.device,
            groups: self.group_add,
            labels: labels(&self.label_file, &self.label)?,
            stop_signal: self.stop_signal,
            stop_timeout_s: self.stop_timeout,
            health: self.health.settings()?,
            restart: self.restart,
            auto_remove: self.rm,
            sharing: self.sharing.settings(network_of),
            log: log_limits(self.log_driver, &self.log_opt),
        };
        sharing::check(&settings)?;
        Ok(settings)
    }
}

fn labels(files: &[PathBuf], texts: &[String]) -> Result<BTreeMap<String, String>, Report> {
    let mut labels: BTreeMap<String, String> = BTreeMap::new();
    for text in environment::lines(files)?.iter().chain(texts) {
        let (name, value) = text.split_once('=').unwrap_or((text, ""));
        if name.is_empty() {
            return Err(Report::mistake(format!("invalid label format: \"{text}\"")));
        }
        labels.insert(name.to_owned(), value.to_owned());
    }
    Ok(labels)
}

fn log_limits(driver: LogDriver, options: &[LogOption]) -> LogLimits {
    let mut limits = LogLimits { is_kept: driver != LogDriver::None, ..LogLimits::default() };
    for option in options {
        match option {
            LogOption::MaxSize(bytes) => limits.file_bytes_max = *bytes,
            LogOption::MaxFile(files) => limits.files_max = *files,
            LogOption::Mode(mode) => limits.mode = *mode,
        }
    }
    limits
}

fn parse_log_option(text: &str) -> Result<LogOption, String> {
    match text.split_once('=') {
        Some(("max-size", size)) => match parse_size(size)? {
            0 => Err("max-size must be a positive number".to_owned()),
            bytes => Ok(LogOption::MaxSize(bytes)),
        },
        Some(("max-file", count)) => match count.parse() {
            Ok(count) if count > 0 => Ok(LogOption::MaxFile(count)),
            _ => Err("max-file cannot be less than 1".to_owned()),
        },
        Some(("mode", "blocking")) => Ok(LogOption::Mode(LogMode::Blocking)),
        Some(("mode", "non-blocking")) => Ok(LogOption::Mode(LogMode::NonBlocking)),
        Some(("mode", mode)) => Err(format!("logger: logging mode not supported: {mode}")),
        _ => Err("expected max-size=BYTES, max-file=NUMBER or mode=blocking|non-blocking".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_options_are_dockers() {
        assert_eq!(parse_log_option("max-size=1m"), Ok(LogOption::MaxSize(1 << 20)));
        assert_eq!(parse_log_option("max-file=3"), Ok(LogOption::MaxFile(3)));
        assert_eq!(parse_log_option("mode=non-blocking"), Ok(LogOption::Mode(LogMode::NonBlocking)));
        for wrong in ["max-file=0", "max-size=0", "max-size=x", "mode=x", "x"] {
            assert!(parse_log_option(wrong).is_err(), "{wrong}");
        }
    }
}
