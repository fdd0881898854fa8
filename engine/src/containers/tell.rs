//! What is told of containers, for those who follow the events of a store.

use image::Digest;

use super::Config;
use super::error::ContainerError;
use crate::Engine;
use crate::events::{Event, EventKind};

/// Something that happens to a container now. It says how the container is called, and all its labels.
pub(super) fn event(config: &Config, action: &str) -> Event {
    let mut event = Event::now(EventKind::Container, action, &config.id);
    event.from.clone_from(&config.settings.image);
    event.actor.attributes.clone_from(&config.labels);
    event.with("image", &config.settings.image).with("name", &config.name)
}

/// The id of a command that was started later: the same for as long as that runs.
pub(super) fn exec_id(config: &Config, number: u32) -> String {
    Digest::of(format!("{} {number}", config.id).as_bytes()).hex()
}

impl Engine {
    /// Writes down what has happened to a container.
    pub(super) fn tell(&self, config: &Config, action: &str) {
        event(config, action).note(self.root());
    }

    /// Writes down that a container was started again by hand.
    ///
    /// # Errors
    ///
    /// That there is no such container.
    pub fn tell_restart(&self, name: &str) -> Result<(), ContainerError> {
        self.tell(&self.container(name)?.config, "restart");
        Ok(())
    }

    /// Writes down that somebody looked at the processes of a container.
    ///
    /// # Errors
    ///
    /// That there is no such container.
    pub fn tell_top(&self, name: &str) -> Result<(), ContainerError> {
        self.tell(&self.container(name)?.config, "top");
        Ok(())
    }
}
