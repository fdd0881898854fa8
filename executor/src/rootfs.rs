//! The tree that becomes `/`: an overlay of layers, or one directory.

use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::mount::MountAttrFlags;

use crate::devices::Scratch;
use crate::error::{OrKernel, SandboxError};
use crate::mounting::{Depth, clone_host, flags, restrict};
use crate::overlay::{OverlayUpper, overlay};
use crate::spec::{Confinement, Rootfs, Spec};

/// Directories on which, or in which, every container has mounts; parents first.
///
/// A root that lacks one has to be given it for as long as the process runs. A lowest layer that has them all, and
/// [`MOUNT_POINT_FILES`], saves that.
pub const MOUNT_POINT_DIRECTORIES: &[&str] = &["dev", "etc", "proc", "sys"];

/// Files that every container has mounts on.
pub const MOUNT_POINT_FILES: &[&str] = &["etc/hostname", "etc/hosts", "etc/resolv.conf"];

/// Mounts the root, detached, and opens the directory that takes its changes.
///
/// Device files on it cannot be opened: an image may contain one of the host's disk, and a container may make one. A
/// privileged container may open them.
pub(crate) fn mount_root(scratch: &Scratch, spec: &Spec) -> Result<(OwnedFd, OwnedFd), SandboxError> {
    let attributes = match spec.confinement {
        Confinement::Ordinary => flags::NO_DEVICES,
        Confinement::Privileged => MountAttrFlags::empty(),
    };
    match &spec.rootfs {
        Rootfs::Directory(directory) => bind_root(directory, attributes),
        Rootfs::Overlay { lowers, upper, .. } if lowers.is_empty() => bind_root(upper, attributes),
        Rootfs::Overlay { lowers, upper, work, volatile } => {
            let changes = open_directory(upper)?;
            let upper = OverlayUpper { upper, work, volatile: *volatile };
            Ok((overlay(scratch, lowers, Some(&upper), attributes)?, changes))
        }
    }
}

fn bind_root(directory: &Path, attributes: MountAttrFlags) -> Result<(OwnedFd, OwnedFd), SandboxError> {
    let root = clone_host(directory, Depth::One)?;
    restrict(&root, attributes, Depth::One)?;
    Ok((root, open_directory(directory)?))
}

/// A host directory, trusted.
pub(crate) fn open_directory(path: &Path) -> Result<OwnedFd, SandboxError> {
    rustix::fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .or_kernel(|| format!("open({path:?}, O_PATH | O_DIRECTORY)"))
}
