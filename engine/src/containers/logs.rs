//! The log of a container, for those who read it while it is written.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use super::error::ContainerError;
use super::home::{self, Home};
use super::log::{self, Reader, numbers};
use super::watch::Watch;
use super::{Container, LogEntry, LogOptions};
use crate::Engine;

impl Engine {
    /// Reads the log of a container.
    ///
    /// # Errors
    ///
    /// That there is no such container, or its log cannot be read.
    pub fn container_logs(&self, name: &str, options: &LogOptions) -> Result<Logs, ContainerError> {
        let home = self.home(name)?;
        let (directory, path) = home.directory()?;
        let reader = Reader::new(&path, options).map_err(|source| home::file(&home.path, source))?;
        Ok(Logs { home, reader, _directory: directory })
    }

    /// The newest file of a container's log; none before it has written anything.
    pub fn container_log_path(&self, container: &Container) -> Option<PathBuf> {
        let directory = Home::new(self.root(), &container.config.id).path;
        numbers(&directory).last().map(|number| log::file_of(&directory, *number))
    }
}

/// The log of a container.
pub struct Logs {
    home: Home,
    reader: Reader,
    /// What the path of the reader is good for.
    _directory: OwnedFd,
}

impl Logs {
    /// Passes on what is there and was not passed on yet.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub fn read(&mut self, to: &mut dyn FnMut(LogEntry)) -> Result<(), ContainerError> {
        self.reader.read(to).map_err(|source| home::file(&self.home.path, source))
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
