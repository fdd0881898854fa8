//! What can be done with a container that is there.

use executor::WindowSize;

use super::ask::ask;
use super::error::ContainerError;
use super::session::Session;
use super::start::refusal;
use super::wire::{Reply, Request, Streams};
use super::{Config, Container, Restart, Status, name, signal};
use crate::Engine;

impl Engine {
    /// Writes down what a container is to be from now on, for its monitor as well.
    pub(crate) fn replace_config(&self, config: &Config) -> Result<(), ContainerError> {
        let home = self.home(&config.id)?;
        home.write_config(config)?;
        ask(&home, &Request::Reload).map(|_| ())
    }

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
