//! A row of `ps`.

use std::net::SocketAddr;
use std::time::{Duration, SystemTime};

use engine::Engine;
use engine::containers::{Container, Status};

use crate::commands::images::created_since;
use crate::output::{Headers, age, ellipsis, local, size, truncate_id};
use crate::template::Value;

/// Titles of the columns.
pub(super) const HEADERS: &Headers = &[
    ("ID", "CONTAINER ID"),
    ("Names", "NAMES"),
    ("Image", "IMAGE"),
    ("Command", "COMMAND"),
    ("CreatedAt", "CREATED AT"),
    ("RunningFor", "CREATED"),
    ("Ports", "PORTS"),
    ("State", "STATE"),
    ("Status", "STATUS"),
    ("Size", "SIZE"),
    ("Labels", "LABELS"),
    ("LocalVolumes", "LOCAL VOLUMES"),
    ("Mounts", "MOUNTS"),
    ("Networks", "NETWORKS"),
    ("Platform", "PLATFORM"),
];

/// Columns of a command that is cut, with its quotes, as in Docker.
const COMMAND_COLUMNS: usize = 20;
/// Columns of the name of a mount, as in Docker.
const MOUNT_COLUMNS: usize = 15;
/// Significant digits of a size.
const SIZE_DIGITS: usize = 3;
const NANOSECONDS: i64 = 1_000_000_000;

/// A container, and how it is shown.
pub(super) struct Row<'a> {
    pub(super) container: &'a Container,
    /// What it has changed; none when nobody wants to know.
    pub(super) size_bytes: Option<u64>,
    pub(super) no_trunc: bool,
    pub(super) now: SystemTime,
}

impl Row<'_> {
    pub(super) fn value(&self, engine: &Engine) -> Value {
        let config = &self.container.config;
        let created_unix_s = config.created_unix_ns / NANOSECONDS;
        let labels: Vec<String> =
            config.labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let points = &config.mount_points;
        let volumes: Vec<&String> = points.iter().filter_map(|point| point.name.as_ref()).collect();
        let mounts: Vec<String> = points
            .iter()
            .map(|point| point.name.clone().unwrap_or_else(|| point.source.display().to_string()))
            .map(|name| if self.no_trunc { name } else { ellipsis(&name, MOUNT_COLUMNS) })
            .collect();
        Value::record([
            ("Command", Value::from(self.command())),
            ("CreatedAt", Value::from(local(created_unix_s))),
            ("ID", Value::from(if self.no_trunc { config.id.clone() } else { truncate_id(&config.id) })),
            ("Image", Value::from(self.image(engine))),
            ("Labels", Value::from(labels.join(","))),
            ("LocalVolumes", Value::from(volumes.len().to_string())),
            ("Mounts", Value::from(mounts.join(","))),
            ("Names", Value::from(config.name.as_str())),
            ("Networks", Value::from(networks(self.container))),
            ("Platform", Value::from("")),
            ("Ports", Value::from(ports(self.container))),
            ("RunningFor", Value::from(created_since(created_unix_s, self.now))),
            ("Size", Value::from(self.size(engine))),
            ("State", Value::from(self.container.state.status.name())),
            ("Status", Value::from(status(self.container, self.now))),
        ])
    }

    fn command(&self) -> String {
        let command = self.container.config.argv().join(" ");
        let command = if self.no_trunc { command } else { ellipsis(&command, COMMAND_COLUMNS - 2) };
        format!("\"{command}\"")
    }

    /// As it was asked for; its id when that name means another image by now.
    fn image(&self, engine: &Engine) -> String {
        let config = &self.container.config;
        let asked = &config.settings.image;
        let is_still_it = engine.find_image(asked).is_ok_and(|id| id.to_string() == config.image_id);
        match is_still_it || self.no_trunc {
            true => asked.clone(),
            false => truncate_id(&config.image_id),
        }
    }

    fn size(&self, engine: &Engine) -> String {
        let Some(bytes) = self.size_bytes else { return String::new() };
        let image = engine.inspect_image(&self.container.config.image_id).map_or(0, |image| image.size);
        format!("{} (virtual {})", size(bytes, SIZE_DIGITS), size(image + bytes, SIZE_DIGITS))
    }
}

/// `0.0.0.0:8080->80/tcp, 443/tcp`: what is published, then what is only exposed.
fn ports(container: &Container) -> String {
    let published = container.state.ports.iter().map(|port| (port.inside(), Some(port.host)));
    let published: Vec<(String, Option<SocketAddr>)> = published.collect();
    let exposed = container.config.exposed_ports.iter().filter(|_| container.state.status.is_alive());
    let exposed = exposed.filter(|port| !published.iter().any(|(inside, _)| inside == *port));
    let all = published.iter().cloned().chain(exposed.map(|port| (port.clone(), None)));
    let shown = all.map(|(inside, host)| host.map_or(inside.clone(), |host| format!("{host}->{inside}")));
    shown.collect::<Vec<_>>().join(", ")
}

fn networks(container: &Container) -> String {
    let settings = &container.config.settings;
    if settings.sharing.network_of.is_some() {
        // It is in none itself.
        return String::new();
    }
    if settings.networks.networks.is_empty() {
        return match settings.network {
            engine::Network::Default => "bridge",
            engine::Network::Host => "host",
            engine::Network::None => "none",
        }
        .to_owned();
    }
    let names = settings.networks.networks.iter().map(|request| request.network.as_str());
    names.collect::<Vec<_>>().join(",")
}

/// `Up 2 minutes`, `Exited (0) 3 seconds ago`.
fn status(container: &Container, now: SystemTime) -> String {
    let state = &container.state;
    let since = |unix_ns: i64| {
        let now = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        age(now.saturating_sub(Duration::from_nanos(u64::try_from(unix_ns).unwrap_or(0))))
    };
    match state.status {
        Status::Created => "Created".to_owned(),
        Status::Running => {
            let health = match state.health.as_ref().map(|health| health.status.as_str()) {
                None => String::new(),
                Some("starting") => " (health: starting)".to_owned(),
                Some(status) => format!(" ({status})"),
            };
            format!("Up {}{health}", since(state.started_unix_ns))
        }
        Status::Paused => format!("Up {} (Paused)", since(state.started_unix_ns)),
        Status::Restarting => {
            format!("Restarting ({}) {} ago", state.exit_code, since(state.finished_unix_ns))
        }
        Status::Exited => format!("Exited ({}) {} ago", state.exit_code, since(state.finished_unix_ns)),
    }
}
