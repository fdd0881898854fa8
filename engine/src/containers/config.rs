//! A container as it was made: its settings, and what the image had to say to them.

use std::collections::{BTreeMap, BTreeSet};

use image::{Healthcheck, ImageConfig};
use serde::{Deserialize, Serialize};

use super::settings::Settings;
use crate::networks::parse_exposed;
use crate::volumes::{MountPoint, MountRequest};

/// `PATH` of a container whose image sets none, as in Docker.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// `TERM` of a container with a terminal, as in Docker.
const TERM_DEFAULT: &str = "xterm";
/// Seconds between the signal to stop and SIGKILL, as in Docker.
pub const STOP_TIMEOUT_S_DEFAULT: i64 = 10;

/// A container as it was made. Only its name and what `update` changes ever change.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Config {
    /// 64 hexadecimal digits.
    pub id: String,
    /// Its name, without a slash.
    pub name: String,
    /// When it was made, in nanoseconds since 1970.
    pub created_unix_ns: i64,
    /// `sha256:` and the digits of the image's id.
    pub image_id: String,
    /// The layers of the image, lowest first.
    pub layers: Vec<String>,
    /// What was asked for.
    pub settings: Settings,
    /// The entrypoint that counts.
    pub entrypoint: Vec<String>,
    /// The command that counts.
    pub command: Vec<String>,
    /// Its whole environment, in Docker's order.
    pub env: Vec<(String, String)>,
    /// Where it begins.
    pub working_dir: String,
    /// As whom, in the syntax of `USER`.
    pub user: String,
    /// What it is called.
    pub hostname: String,
    /// Labels of the image and its own.
    pub labels: BTreeMap<String, String>,
    /// By which signal it is stopped: a name or a number; empty is SIGTERM.
    pub stop_signal: String,
    /// How to find out whether it is well.
    pub healthcheck: Option<Healthcheck>,
    /// What the image exposes, as `80/tcp`.
    pub exposed_ports: Vec<String>,
    /// Where the image wants volumes.
    pub volumes: Vec<String>,
    /// What is mounted, with the names of all volumes.
    pub mounts: Vec<MountRequest>,
    /// The same for those who look at the container.
    pub mount_points: Vec<MountPoint>,
    /// Volumes that were made for this container alone.
    pub anonymous_volumes: Vec<String>,
    /// Whether somebody starts it as soon as it is made.
    pub starts_at_once: bool,
}

impl Config {
    /// The program and its arguments; empty if nobody says what to run.
    pub fn argv(&self) -> Vec<String> {
        self.entrypoint.iter().chain(&self.command).cloned().collect()
    }

    /// Seconds between the signal to stop and SIGKILL; negative for ever.
    pub fn stop_timeout_s(&self) -> i64 {
        self.settings.stop_timeout_s.unwrap_or(STOP_TIMEOUT_S_DEFAULT)
    }

    /// Whether the container has a volume.
    pub fn has_volume(&self, name: &str) -> bool {
        self.mount_points.iter().any(|point| point.name.as_deref() == Some(name))
    }

    /// The digits of the id that people see.
    pub fn short_id(&self) -> &str {
        self.id.get(..super::name::SHORT_ID_DIGITS).unwrap_or(&self.id)
    }

    /// Fills in what the settings leave to the image.
    pub(crate) fn of_image(id: String, settings: Settings, image: &ImageConfig) -> Self {
        let defaults = &image.config;
        let short = id.get(..super::name::SHORT_ID_DIGITS).unwrap_or(&id);
        let hostname = settings.hostname.clone().unwrap_or_else(|| short.to_owned());
        let (entrypoint, command) = argv(&settings, image);
        let mut labels = defaults.labels.clone();
        labels.extend(settings.labels.clone());
        Self {
            entrypoint,
            command,
            env: environment(&settings, image, &hostname),
            working_dir: settings.working_dir.clone().unwrap_or_else(|| defaults.working_dir.clone()),
            user: settings.user.clone().unwrap_or_else(|| defaults.user.clone()),
            stop_signal: settings.stop_signal.clone().unwrap_or_else(|| defaults.stop_signal.clone()),
            healthcheck: settings.health.apply(defaults.healthcheck.as_ref()),
            exposed_ports: exposed_ports(&settings, image),
            volumes: defaults.volumes.keys().cloned().collect(),
            hostname,
            labels,
            id,
            settings,
            ..Self::default()
        }
    }
}

/// What the image and the caller expose, as `80/tcp`.
fn exposed_ports(settings: &Settings, image: &ImageConfig) -> Vec<String> {
    let mut ports: BTreeSet<String> = image.config.exposed_ports.keys().cloned().collect();
    for (range, protocol) in settings.networks.exposed.iter().filter_map(|text| parse_exposed(text).ok()) {
        ports.extend(range.map(|port| format!("{port}/{}", protocol.name())));
    }
    for request in &settings.networks.ports {
        let (first, last) = request.container;
        ports.extend((first..=last).map(|port| format!("{port}/{}", request.protocol.name())));
    }
    ports.into_iter().collect()
}

/// The entrypoint and the command, each from the caller or from the image.
fn argv(settings: &Settings, image: &ImageConfig) -> (Vec<String>, Vec<String>) {
    let image_command = image.config.cmd.clone().unwrap_or_default();
    let (entrypoint, command) = match &settings.entrypoint {
        Some(entrypoint) if entrypoint.is_empty() => (Vec::new(), Vec::new()),
        Some(entrypoint) => (vec![entrypoint.clone()], Vec::new()),
        None => (image.config.entrypoint.clone().unwrap_or_default(), image_command),
    };
    (entrypoint, if settings.command.is_empty() { command } else { settings.command.clone() })
}

/// Docker's order: `PATH`, `HOSTNAME` and `TERM`, then the image's, then the caller's.
fn environment(settings: &Settings, image: &ImageConfig, hostname: &str) -> Vec<(String, String)> {
    let mut env =
        vec![("PATH".to_owned(), PATH_DEFAULT.to_owned()), ("HOSTNAME".to_owned(), hostname.to_owned())];
    if settings.tty {
        env.push(("TERM".to_owned(), TERM_DEFAULT.to_owned()));
    }
    let pairs = image.config.env.iter().filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    set_variables(&mut env, pairs.chain(settings.env.iter().cloned()));
    env
}

/// Sets variables in their old places, and adds the new ones.
pub(crate) fn set_variables(
    env: &mut Vec<(String, String)>,
    pairs: impl IntoIterator<Item = (String, String)>,
) {
    for (name, value) in pairs {
        match env.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => env.push((name, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image() -> ImageConfig {
        let mut image = ImageConfig::empty(&crate::default_platform());
        image.config.entrypoint = Some(vec!["/entry".into()]);
        image.config.cmd = Some(vec!["default".into()]);
        image.config.env = vec!["PATH=/opt".into(), "A=1".into()];
        image
    }

    fn config(settings: Settings) -> Config {
        Config::of_image("0123456789abcdef".into(), settings, &image())
    }

    #[test]
    fn entrypoint_and_command_replace_each_other_as_in_docker() {
        let argv_of = |entrypoint: Option<&str>, command: &[&str]| {
            let settings = Settings {
                entrypoint: entrypoint.map(str::to_owned),
                command: command.iter().map(ToString::to_string).collect(),
                ..Settings::default()
            };
            config(settings).argv().join(" ")
        };
        assert_eq!(argv_of(None, &[]), "/entry default");
        assert_eq!(argv_of(None, &["x"]), "/entry x");
        assert_eq!(argv_of(Some("/other"), &[]), "/other");
        assert_eq!(argv_of(Some("/other"), &["x"]), "/other x");
        assert_eq!(argv_of(Some(""), &["x"]), "x");
        assert_eq!(argv_of(Some(""), &[]), "");
    }

    #[test]
    fn the_caller_wins_over_the_image_over_the_defaults() {
        let env = config(Settings { env: vec![("A".into(), "2".into())], ..Settings::default() }).env;
        let text: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(text, ["PATH=/opt", "HOSTNAME=0123456789ab", "A=2"]);
    }
}
