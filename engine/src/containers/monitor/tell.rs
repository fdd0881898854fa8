//! What a monitor tells of its container.

use std::time::Duration;

use executor::WindowSize;

use super::{Monitor, Source};
use crate::containers::tell::{event, exec_id};
use crate::events::{Event, EventKind};
use crate::networks::predefined_id;

/// The only driver of volumes.
const VOLUME_DRIVER: &str = "local";
/// The kind of networks that have addresses.
const BRIDGE: &str = "bridge";

impl Monitor {
    /// Something that happens to the container now.
    pub(super) fn tell(&self, action: &str) -> Event {
        event(&self.config, action)
    }

    pub(super) fn tell_signal(&self, signal: i32) {
        self.tell("kill").with("signal", &signal).note(self.home.root());
    }

    pub(super) fn tell_start(&self) {
        self.tell_networks("connect");
        for point in &self.config.mount_points {
            let Some(name) = &point.name else { continue };
            Event::now(EventKind::Volume, "mount", name)
                .with("container", &self.config.id)
                .with("destination", &point.destination)
                .with("driver", VOLUME_DRIVER)
                .with("propagation", &point.propagation)
                .with("read/write", &point.is_writable)
                .note(self.home.root());
        }
        self.tell("start").note(self.home.root());
    }

    /// The container has ended, after this time.
    pub(super) fn tell_end_of(&mut self, lived: Duration) {
        if self.state.oom_killed {
            self.tell("oom").note(self.home.root());
        }
        self.tell("die")
            .with("execDuration", &lived.as_secs())
            .with("exitCode", &self.state.exit_code)
            .note(self.home.root());
        self.tell_networks("disconnect");
        for name in self.config.mount_points.iter().filter_map(|point| point.name.as_ref()) {
            Event::now(EventKind::Volume, "unmount", name)
                .with("container", &self.config.id)
                .with("driver", VOLUME_DRIVER)
                .note(self.home.root());
        }
        if std::mem::take(&mut self.is_stopping) {
            self.tell("stop").note(self.home.root());
        }
    }

    pub(super) fn tell_exec(&self, number: u32, argv: &[String]) {
        let command = argv.join(" ");
        for action in ["exec_create", "exec_start"] {
            self.tell(&format!("{action}: {command}"))
                .with("execID", &exec_id(&self.config, number))
                .note(self.home.root());
        }
    }

    pub(super) fn tell_size(&self, size: WindowSize) {
        self.tell("resize").with("height", &size.rows).with("width", &size.columns).note(self.home.root());
    }

    /// Somebody has let go of a command that goes on.
    pub(super) fn tell_detached(&self, source: Source) {
        let event = match source {
            Source::Container => self.tell("detach"),
            Source::Exec(number) => self.tell("exec_detach").with("execID", &exec_id(&self.config, number)),
        };
        event.note(self.home.root());
    }

    pub(super) fn tell_exec_end(&self, number: u32, code: i32) {
        self.tell("exec_die")
            .with("execID", &exec_id(&self.config, number))
            .with("exitCode", &code)
            .note(self.home.root());
    }

    /// The networks of the container: those that somebody made, or the one that it has alone.
    fn tell_networks(&self, action: &str) {
        let settings = &self.config.settings;
        if settings.sharing.network_of.is_some() {
            return;
        }
        let root = self.home.root();
        let networks = match settings.networks.is_shared() {
            true => crate::networks::identify(root, &settings.networks.networks),
            false => {
                let name = match settings.network {
                    graph::Network::Default => BRIDGE,
                    graph::Network::Host => "host",
                    graph::Network::None => "none",
                };
                vec![(predefined_id(root, name), name.to_owned())]
            }
        };
        for (id, name) in networks {
            let kind = if name == "host" {
                "host"
            } else if name == "none" {
                "null"
            } else {
                BRIDGE
            };
            Event::now(EventKind::Network, action, &id)
                .with("container", &self.config.id)
                .with("name", &name)
                .with("type", kind)
                .note(root);
        }
    }
}
