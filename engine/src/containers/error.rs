//! Why something did not work with a container, in Docker's words where scripts know them.

use std::io;
use std::path::PathBuf;

use cache::StoreError;
use executor::SandboxError;

use super::copy::CopyError;
use crate::images::ImageError;
use crate::network::NoHostGateway;
use crate::networks::{NetworkError, NetworkFault};
use crate::volumes::MountError;

/// Why something did not work with a container.
#[derive(Debug, thiserror::Error)]
pub enum ContainerError {
    /// There is no such image, or its name is ambiguous.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Neither the image nor the caller says what to run.
    #[error("no command specified: image `{image}` has neither CMD nor ENTRYPOINT")]
    NoCommand {
        /// The image.
        image: String,
    },
    /// The command could not be started.
    #[error("cannot start the container")]
    Sandbox(#[from] SandboxError),
    /// A further command in a container could not be started.
    #[error("cannot execute in the container")]
    Exec {
        /// The cause.
        source: SandboxError,
    },
    /// This machine lets nobody stand still.
    #[error("cannot pause the container, or let it go on")]
    Freeze {
        /// The cause.
        source: SandboxError,
    },
    /// What a container may use cannot be changed.
    #[error("cannot update the container")]
    Update {
        /// The cause.
        source: SandboxError,
    },
    /// The network that was asked for has no way to the host.
    #[error(transparent)]
    HostGateway(#[from] NoHostGateway),
    /// Another container does not share what was asked for.
    #[error("{problem}")]
    Sharing {
        /// What stands in the way.
        problem: String,
    },
    /// A profile of system calls that is none.
    #[error("opening seccomp profile failed")]
    Profile(#[from] executor::ProfileError),
    /// Something that cannot be mounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A network that cannot be joined, or a port that cannot be published.
    #[error("{message}")]
    Network {
        /// What is wrong with it.
        message: String,
        /// Who has to do something about it.
        fault: NetworkFault,
    },
    /// A network that is not there, or that a container can neither join nor leave.
    #[error(transparent)]
    Membership(#[from] NetworkError),
    /// A device of the host is not there, or cannot be looked at.
    #[error("error gathering device information while adding custom device \"{}\"", path.display())]
    Device {
        /// The device.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Files that cannot be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// The store cannot do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Nothing has this name or id.
    #[error("No such container: {name}")]
    NoSuchContainer {
        /// As it was asked for.
        name: String,
    },
    /// Several ids begin like this.
    #[error("multiple IDs found with provided prefix: {prefix}")]
    Ambiguous {
        /// As it was asked for.
        prefix: String,
    },
    /// Another container has the name.
    #[error(
        "Conflict. The container name \"/{name}\" is already in use by container \"{id}\". You have to remove (or rename) that container to be able to reuse that name."
    )]
    NameInUse {
        /// The name.
        name: String,
        /// Whose it is.
        id: String,
    },
    /// It cannot be a name.
    #[error("Invalid container name ({name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed")]
    InvalidName {
        /// The name.
        name: String,
    },
    /// It does not run, and should.
    #[error("container {id} is not running")]
    NotRunning {
        /// Its id.
        id: String,
    },
    /// It stands still, and should not.
    #[error("container {id} is paused, unpause the container first")]
    Paused {
        /// Its id.
        id: String,
    },
    /// It runs already, or stands still already, or does neither.
    #[error("container {id} {problem}")]
    WrongState {
        /// Its id.
        id: String,
        /// `is already paused`.
        problem: String,
    },
    /// It runs, and cannot go.
    #[error(
        "cannot remove container \"{name}\": container is {status}: stop the container before removing or force remove"
    )]
    InTheWay {
        /// As it was asked for.
        name: String,
        /// `running`, `paused`.
        status: &'static str,
    },
    /// No signal has this name.
    #[error("invalid signal: {text}")]
    InvalidSignal {
        /// As it was asked for.
        text: String,
    },
    /// Its monitor ended, or said something that it should not.
    #[error("the monitor of container {id} {problem}")]
    Monitor {
        /// The container.
        id: String,
        /// What was seen.
        problem: String,
    },
    /// What a container was to be is lost: it was made just before the machine went down.
    #[error("container {id} is damaged: `{}`", path.display())]
    Damaged {
        /// Its id.
        id: String,
        /// The file that makes no sense.
        path: PathBuf,
    },
    /// A file of a container cannot be read or written.
    #[error("`{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// What a filter wants is no such thing.
    #[error("{0}")]
    Filter(String),
}
