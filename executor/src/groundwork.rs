//! What a sandbox begins with, whatever else its specification says.

use std::os::fd::OwnedFd;

use rustix::mount::{MountPropagationFlags, mount_change};

use crate::devices::Scratch;
use crate::error::{OrKernel, SandboxError};
use crate::mounting::{flags, mount_new};
use crate::spec::Confinement;

/// The first mounts of a mount namespace.
pub(crate) struct Groundwork {
    pub(crate) scratch: Scratch,
    /// A `/proc` for this pid namespace, or why the kernel makes none.
    pub(crate) proc: Result<OwnedFd, SandboxError>,
}

impl Groundwork {
    /// Separates this mount namespace from the host's, and makes them. The umask is to be 0.
    pub(crate) fn lay(confinement: Confinement) -> Result<Self, SandboxError> {
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .or_kernel(|| String::from("mount(\"/\", MS_REC | MS_PRIVATE)"))?;
        let scratch = Scratch::new(confinement)?;
        Ok(Self { scratch, proc: mount_new("proc", &[], flags::KERNEL) })
    }
}
