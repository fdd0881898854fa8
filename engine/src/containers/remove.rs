//! Removes containers, and knows what they still need.

use std::time::Instant;

use image::ImageId;

use super::ask::{PATIENCE, PAUSE, ask};
use super::error::ContainerError;
use super::home::{self, Home};
use super::session::monitor_error;
use super::wire::Request;
use super::{Config, Container, State, Status, signal};
use crate::Engine;
use crate::events::EventKind;
use crate::images::ImageUser;

/// A container that is started at once has been by then, in nanoseconds; later on it is one that somebody has left.
const STARTING_NS_MAX: i64 = 30_000_000_000;

/// Whether a container goes that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Only one that has ended.
    Ended,
    /// Also one that runs, which is killed.
    Any,
}

impl Engine {
    /// Removes a container.
    ///
    /// # Errors
    ///
    /// [`ContainerError::InTheWay`] for one that runs, unless it is to be killed.
    pub fn remove_container(&self, name: &str, removal: Removal) -> Result<Container, ContainerError> {
        let home = self.home(name)?;
        let (begin, mut is_again) = (Instant::now(), false);
        while begin.elapsed() < PATIENCE {
            let container = match Container::load(&home) {
                // Of this one only the files are left.
                Err(ContainerError::Damaged { .. }) => nameless(&home)?,
                loaded => loaded?,
            };
            let status = container.state.status;
            if status.is_alive() && removal == Removal::Ended {
                let status = status.name();
                return Err(ContainerError::InTheWay { name: name.to_owned(), status });
            }
            if let Some(claim) = home.claim()? {
                home.remove(&container.config.name, claim)?;
                self.tell(&container.config, "destroy");
                return Ok(container);
            }
            // It runs, or its monitor has not gone yet, or has just come: what is about to begin is not killed unless that is said.
            let is_beginning = status == Status::Created && removal == Removal::Ended;
            if !is_beginning {
                ask(&home, &Request::Stop { signal: signal::KILL, timeout_s: -1 })?;
                if !home.path.exists() {
                    return Ok(container);
                }
            }
            if std::mem::replace(&mut is_again, true) || is_beginning {
                std::thread::sleep(PAUSE);
            }
        }
        Err(monitor_error(&home.id, "does not let go of it"))
    }

    /// Removes the volumes that were made for a container alone, after it.
    pub fn remove_anonymous_volumes(&self, container: &Container) {
        for name in &container.config.anonymous_volumes {
            // Somebody else may have it by now: then it stays.
            if let Err(error) = self.remove_volume(name) {
                tracing::debug!(%error, "an anonymous volume stays");
            }
        }
    }

    /// Ids of the containers that have a volume, whether they run or not.
    pub(crate) fn users_of_volume(&self, name: &str) -> Vec<String> {
        let containers = self.containers().unwrap_or_default();
        let users = containers.into_iter().filter(|container| container.config.has_volume(name));
        users.map(|container| container.config.id).collect()
    }

    /// Containers that stand on an image, whether they run or not.
    pub(crate) fn users_of_image(&self, id: &ImageId) -> Vec<ImageUser> {
        let id = id.to_string();
        let containers = self.containers().unwrap_or_default().into_iter();
        let users = containers.filter(|container| container.config.image_id == id);
        users
            .map(|container| ImageUser {
                is_running: container.state.status.is_alive(),
                container: container.config.id,
            })
            .collect()
    }

    /// Removes containers that have ended, or never ran, if `wanted` says so. Their ids, and what they took on disk.
    ///
    /// # Errors
    ///
    /// When the containers cannot be listed.
    pub fn prune_containers(
        &self,
        wanted: impl Fn(&Container) -> bool,
    ) -> Result<(Vec<String>, u64), ContainerError> {
        let mut pruned = Vec::new();
        let mut bytes = 0;
        for container in self.containers()? {
            if container.state.status.is_alive() || is_starting(&container) || !wanted(&container) {
                continue;
            }
            let size_bytes = self.container_size(&container);
            match self.remove_container(&container.config.id, Removal::Ended) {
                Ok(_) => {
                    bytes += size_bytes;
                    pruned.push(container.config.id);
                }
                // It was started, or removed by somebody else, since.
                Err(ContainerError::InTheWay { .. } | ContainerError::NoSuchContainer { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        self.note_prune(EventKind::Container, bytes);
        Ok((pruned, bytes))
    }

    /// What a container has changed, in bytes.
    pub fn container_size(&self, container: &Container) -> u64 {
        let upper = Home::new(self.root(), &container.config.id).upper();
        let files = walkdir::WalkDir::new(upper).into_iter().flatten();
        let sizes = files.filter_map(|entry| entry.metadata().ok()).filter(std::fs::Metadata::is_file);
        sizes.map(|metadata| metadata.len()).sum()
    }
}

/// Whether somebody is about to start a container, if nothing has happened to them. One that could not be started says so.
fn is_starting(container: &Container) -> bool {
    let Container { config, state } = container;
    let age_ns = home::now_unix_ns().saturating_sub(config.created_unix_ns);
    config.starts_at_once && *state == State::default() && age_ns < STARTING_NS_MAX
}

/// A container of which nobody knows any more what it was to be.
fn nameless(home: &Home) -> Result<Container, ContainerError> {
    let name = home::name_of(home.root(), &home.id).unwrap_or_default();
    let config = Config { id: home.id.clone(), name, ..Config::default() };
    Ok(Container { config, state: home.state()? })
}
