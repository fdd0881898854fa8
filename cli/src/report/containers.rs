//! What is said of containers, and of the volumes and networks that they have.

use engine::containers::{ContainerError, FilterError};
use engine::networks::{NetworkError, NetworkFault, OwnerError};
use engine::volumes::{MountError, VolumeError};

use super::{Exit, Report};

impl From<VolumeError> for Report {
    fn from(error: VolumeError) -> Self {
        match &error {
            VolumeError::Store(source) => Self::of_store(source),
            VolumeError::NotThere { .. } => {
                Self::of(Exit::Failure, &error).hint("`slipway volume ls` lists the volumes that there are")
            }
            VolumeError::Facts { .. } => Self::of_store(&error).hint(
                "its files are untouched; a newer slipway may know it, and `slipway volume rm` removes it",
            ),
            _ => Self::of(Exit::Failure, &error),
        }
    }
}

impl From<NetworkError> for Report {
    fn from(error: NetworkError) -> Self {
        match &error {
            NetworkError::Store(source) => Self::of_store(source),
            NetworkError::File { .. } => Self::of_store(&error),
            NetworkError::Sandbox(
                engine::SandboxNetworkError::Taken { .. }
                | engine::SandboxNetworkError::OutOfRange { .. }
                | engine::SandboxNetworkError::Full { .. },
            ) => Self::of(Exit::Failure, &error),
            NetworkError::Sandbox(_) => {
                Self::of(Exit::Machine, &error).hint("`slipway doctor` says what this machine lacks")
            }
            NetworkError::NotFound { .. } => {
                Self::of(Exit::Failure, &error).hint("`slipway network ls` lists the networks that there are")
            }
            NetworkError::PortPrivileged { port, .. } => Self::of(Exit::Failure, &error).hint(format!(
                "choose a port from 1024 on, or, as root, `sysctl net.ipv4.ip_unprivileged_port_start={port}`"
            )),
            _ => Self::of(Exit::Failure, &error),
        }
    }
}

impl From<OwnerError> for Report {
    fn from(error: OwnerError) -> Self {
        match error {
            OwnerError::Network(error) => error.into(),
            OwnerError::Namespace(error) => error.into(),
        }
    }
}

impl From<MountError> for Report {
    fn from(error: MountError) -> Self {
        match error {
            MountError::Volume(error) => error.into(),
            MountError::Copy { .. } => Self::of_store(&error),
            MountError::NotShared { .. } => Self::of(Exit::Failure, &error)
                .hint("as root, make it one: `mount --bind DIR DIR`, then `mount --make-shared DIR`"),
            _ => Self::of(Exit::Failure, &error),
        }
    }
}

impl From<ContainerError> for Report {
    fn from(error: ContainerError) -> Self {
        let error = match error {
            ContainerError::Mount(error) => return error.into(),
            ContainerError::Membership(error) => return error.into(),
            other => other,
        };
        match &error {
            ContainerError::Image(source) => Self::from_image(source),
            ContainerError::Store(source) => Self::of_store(source),
            ContainerError::NoCommand { image } => Self::of(Exit::Failure, &error)
                .hint(format!("say what to run: `slipway run {image} COMMAND`")),
            ContainerError::Sandbox(source)
            | ContainerError::Exec { source }
            | ContainerError::Freeze { source }
            | ContainerError::Update { source } => Self::of(
                match source.exit_code() {
                    Some(127) => Exit::NotFound,
                    Some(126) => Exit::NotExecutable,
                    _ => Exit::Failure,
                },
                &error,
            )
            .way_out(source),
            ContainerError::NoSuchContainer { .. } => {
                Self::of(Exit::Failure, &error).hint("`slipway ps -a` lists the containers that there are")
            }
            ContainerError::Network { fault: NetworkFault::NotFound, .. } => {
                Self::of(Exit::Failure, &error).hint("`slipway network ls` lists the networks that there are")
            }
            ContainerError::Network { fault: NetworkFault::Machine, .. } => {
                Self::of(Exit::Machine, &error).hint("`slipway doctor` says what this machine lacks")
            }
            ContainerError::Monitor { .. } => Self::of(Exit::Machine, &error),
            ContainerError::File { .. } => Self::of_store(&error),
            ContainerError::Damaged { id, .. } => {
                Self::of_store(&error).hint(format!("`slipway rm {id}` removes what is left of it"))
            }
            _ => Self::of(Exit::Failure, &error),
        }
    }
}

impl From<FilterError> for Report {
    fn from(error: FilterError) -> Self {
        Self::of(Exit::Failure, &error)
    }
}
