//! What can be done with a container that is there.

use std::path::PathBuf;

use executor::WindowSize;
use image::ImageId;

use super::error::ContainerError;
use super::home::Home;
use super::log::{Reader, numbers};
use super::session::{Session, ask};
use super::start::refusal;
use super::watch::Watch;
use super::wire::{Reply, Request, Streams};
use super::{Config, Container, LogEntry, LogOptions, Restart, Status, name, signal};
use crate::Engine;
use crate::events::EventKind;
use crate::images::ImageUser;

/// Whether a container goes that runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// Only one that has ended.
    Ended,
    /// Also one that runs, which is killed.
    Any,
}

impl Engine {
    /// Writes down what a container is to be from now on, for its monitor as well.
    pub(crate) fn replace_config(&self, config: &Config) -> Result<(), ContainerError> {
        let home = self.home(&config.id)?;
        home.write_config(config)?;
        ask(&home, &Request::Reload).map(|_| ())
    }
}

impl Engine {
    /// Stops a container: by the signal of the container or another one, and SIGKILL after a time in seconds (negative
    /// for never). Waits until it has ended. False if it did not run.
    ///
    /// # Errors
    ///
    /// That there is no such container, or no such signal.
    pub fn stop_container(
        &self,
        name: &str,
        wanted: Option<&str>,
        timeout_s: Option<i64>,
    ) -> Result<bool, ContainerError> {
        let home = self.home(name)?;
        let config = home.config()?;
        let text = wanted.unwrap_or(&config.stop_signal);
        let signal = number_of(text)?;
        let timeout_s = timeout_s.unwrap_or_else(|| config.stop_timeout_s());
        Ok(ask(&home, &Request::Stop { signal, timeout_s })?.is_some())
    }

    /// Sends a signal to a container that runs.
    ///
    /// # Errors
    ///
    /// [`ContainerError::NotRunning`] and the like.
    pub fn kill_container(&self, name: &str, signal: &str) -> Result<(), ContainerError> {
        let number = number_of(signal)?;
        self.done(name, &Request::Kill(number))
    }

    /// Lets everything in a container stand still.
    ///
    /// # Errors
    ///
    /// [`ContainerError::NotRunning`] and the like; that this machine has no way to do so.
    pub fn pause_container(&self, name: &str) -> Result<(), ContainerError> {
        match self.freeze(name, true) {
            Err(ContainerError::Paused { id }) => {
                Err(ContainerError::WrongState { id, problem: "is already paused".to_owned() })
            }
            result => result,
        }
    }

    /// Lets it go on.
    ///
    /// # Errors
    ///
    /// [`ContainerError::NotRunning`] and the like.
    pub fn unpause_container(&self, name: &str) -> Result<(), ContainerError> {
        self.freeze(name, false)
    }

    fn freeze(&self, name: &str, is_frozen: bool) -> Result<(), ContainerError> {
        match self.done(name, &Request::Freeze(is_frozen)) {
            Err(ContainerError::Exec { source }) => Err(ContainerError::Freeze { source }),
            result => result,
        }
    }

    fn done(&self, name: &str, request: &Request) -> Result<(), ContainerError> {
        let home = self.home(name)?;
        match ask(&home, request)? {
            None => Err(ContainerError::NotRunning { id: home.id }),
            Some((_, Reply::Done)) => Ok(()),
            Some((_, reply)) => {
                Err(refusal(&home.config()?, reply, |source| ContainerError::Exec { source }))
            }
        }
    }

    /// Connects with the streams of a container that runs.
    ///
    /// # Errors
    ///
    /// [`ContainerError::NotRunning`] and [`ContainerError::Paused`].
    pub fn attach_container(
        &self,
        name: &str,
        streams: Streams,
        size: WindowSize,
    ) -> Result<Session, ContainerError> {
        let home = self.home(name)?;
        match ask(&home, &Request::Attach(streams))? {
            None => Err(ContainerError::NotRunning { id: home.id }),
            Some((session, Reply::Started { .. })) => {
                self.tell(&home.config()?, "attach");
                // The only error is that it has ended since, which the session tells.
                let _ = session.writer().resize(size);
                Ok(session)
            }
            Some((_, reply)) => Err(refusal(&home.config()?, reply, |source| source.into())),
        }
    }

    /// Waits until a container has ended, and returns its exit code.
    ///
    /// # Errors
    ///
    /// That there is no such container.
    pub fn wait_container(&self, name: &str) -> Result<i32, ContainerError> {
        let home = self.home(name)?;
        // One that has been killed since, and its monitor with it, has a state that says so.
        match ask(&home, &Request::Wait)? {
            Some((_, Reply::Exited(end))) => Ok(end.code),
            _ => Ok(home.state()?.exit_code),
        }
    }

    /// Removes a container.
    ///
    /// # Errors
    ///
    /// [`ContainerError::InTheWay`] for one that runs, unless it is to be killed.
    pub fn remove_container(&self, name: &str, removal: Removal) -> Result<Container, ContainerError> {
        let home = self.home(name)?;
        loop {
            let container = Container::load(&home)?;
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
            // It runs, or its monitor has not gone yet.
            ask(&home, &Request::Stop { signal: signal::KILL, timeout_s: -1 })?;
            if !home.path.exists() {
                return Ok(container);
            }
        }
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

    /// Gives a container another name.
    ///
    /// # Errors
    ///
    /// A name that is none, in use, or its own.
    pub fn rename_container(&self, name: &str, new: &str) -> Result<(), ContainerError> {
        let home = self.home(name)?;
        let new = new.strip_prefix('/').unwrap_or(new);
        if !name::is_name(new) {
            return Err(ContainerError::InvalidName { name: new.to_owned() });
        }
        home.take_name(new)?;
        let renamed = home.config().and_then(|mut config| {
            let old = std::mem::replace(&mut config.name, new.to_owned());
            home.write_config(&config)?;
            home.drop_name(&old);
            super::tell::event(&config, "rename").with("oldName", &format!("/{old}")).note(self.root());
            Ok(())
        });
        if renamed.is_err() {
            home.drop_name(new);
            return renamed;
        }
        // A monitor asks the disk for the name when it needs it, but `update` has it reload the rest.
        ask(&home, &Request::Reload).map(|_| ())
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
            if container.state.status.is_alive() || !wanted(&container) {
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

    /// Processes of a container that runs, by the numbers of the host.
    ///
    /// # Errors
    ///
    /// [`ContainerError::NotRunning`].
    pub fn container_processes(&self, name: &str) -> Result<Vec<i32>, ContainerError> {
        let home = self.home(name)?;
        match ask(&home, &Request::Members)? {
            Some((_, Reply::Members(members))) if !members.is_empty() => Ok(members),
            _ => Err(ContainerError::NotRunning { id: home.id }),
        }
    }

    /// Reads the log of a container.
    ///
    /// # Errors
    ///
    /// That there is no such container, or its log cannot be read.
    pub fn container_logs(&self, name: &str, options: &LogOptions) -> Result<Logs, ContainerError> {
        let home = self.home(name)?;
        let reader =
            Reader::new(&home.path, options).map_err(|source| super::home::file(&home.path, source))?;
        Ok(Logs { home, reader })
    }

    /// The newest file of a container's log; none before it has written anything.
    pub fn container_log_path(&self, container: &Container) -> Option<PathBuf> {
        let directory = Home::new(self.root(), &container.config.id).path;
        numbers(&directory).last().map(|number| super::log::file_of(&directory, *number))
    }
}

/// The log of a container.
pub struct Logs {
    home: Home,
    reader: Reader,
}

impl Logs {
    /// Passes on what is there and was not passed on yet.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn read(&mut self, to: &mut dyn FnMut(LogEntry)) -> Result<(), ContainerError> {
        self.reader.read(to).map_err(|source| super::home::file(&self.home.path, source))
    }

    /// Whether more may come: the container runs. What was written before is there when this says no.
    pub fn may_grow(&self) -> bool {
        self.home.state().is_ok_and(|state| state.status.is_alive())
    }

    /// Something to wait with. Made before the log is read, it misses nothing.
    pub fn watch(&self) -> Watch {
        Watch::new(&self.home.path)
    }
}

fn number_of(text: &str) -> Result<i32, ContainerError> {
    signal::parse(text).ok_or_else(|| ContainerError::InvalidSignal { text: text.to_owned() })
}

impl Container {
    /// Whether its restart policy wants it to run, and it does not: as after a restart of the machine.
    pub fn is_to_run(&self) -> bool {
        let is_wanted = match self.config.settings.restart {
            Restart::Always => true,
            Restart::UnlessStopped => !self.state.is_stopped_by_hand,
            Restart::No | Restart::OnFailure(_) => false,
        };
        is_wanted && !self.state.status.is_alive() && self.state.started_unix_ns != 0
    }

    /// Whether it can be talked to.
    pub fn is_running(&self) -> bool {
        matches!(self.state.status, Status::Running | Status::Paused)
    }
}
