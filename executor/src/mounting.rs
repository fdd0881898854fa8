//! Mounts as descriptors: made detached, attached where another descriptor points.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::CWD;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, move_mount, open_tree,
};

use crate::error::{OrKernel, SandboxError};
use crate::sys;

/// Flags of a mount under short names.
pub(crate) mod flags {
    use rustix::mount::MountAttrFlags;

    pub(crate) const NO_DEVICES: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NODEV;
    pub(crate) const NO_SUID: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_NOSUID;
    pub(crate) const READ_ONLY: MountAttrFlags = MountAttrFlags::MOUNT_ATTR_RDONLY;
    /// Neither set-user-id programs nor device files work.
    pub(crate) const DATA: MountAttrFlags =
        MountAttrFlags::MOUNT_ATTR_NODEV.union(MountAttrFlags::MOUNT_ATTR_NOSUID);
    /// Nor can anything be executed.
    pub(crate) const KERNEL: MountAttrFlags = DATA.union(MountAttrFlags::MOUNT_ATTR_NOEXEC);
}

/// One option of a file system.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Parameter<'a> {
    Flag(&'a str),
    Text(&'a str, &'a str),
    Path(&'a str, &'a Path),
}

/// A new, detached mount of a new file system.
pub(crate) fn mount_new(
    fstype: &str,
    parameters: &[Parameter<'_>],
    attributes: MountAttrFlags,
) -> Result<OwnedFd, SandboxError> {
    let context = fsopen(fstype, FsOpenFlags::FSOPEN_CLOEXEC).or_kernel(|| format!("fsopen({fstype:?})"))?;
    for parameter in parameters {
        match parameter {
            Parameter::Flag(key) => fsconfig_set_flag(&context, *key),
            Parameter::Text(key, value) => fsconfig_set_string(&context, *key, *value),
            Parameter::Path(key, value) => fsconfig_set_string(&context, *key, *value),
        }
        .or_kernel(|| format!("fsconfig({fstype:?}, {parameter:?})"))?;
    }
    fsconfig_create(&context)
        .or_kernel(|| format!("fsconfig({fstype:?}, CMD_CREATE) with {}", summary(parameters)))?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attributes)
        .or_kernel(|| format!("fsmount({fstype:?}, {attributes:?})"))
}

/// Most options that an error names.
const SUMMARY_PARAMETERS_MAX: usize = 8;

fn summary(parameters: &[Parameter<'_>]) -> String {
    let shown: Vec<String> =
        parameters.iter().take(SUMMARY_PARAMETERS_MAX).map(|parameter| format!("{parameter:?}")).collect();
    format!("[{}] ({} in all)", shown.join(", "), parameters.len())
}

/// Whether a clone of a mount includes the mounts below it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    One,
    All,
}

/// A detached clone of what is at `path`, a bind mount in the making. An empty `path` is `directory` itself.
pub(crate) fn clone_mount(directory: impl AsFd, path: &Path, depth: Depth) -> Result<OwnedFd, SandboxError> {
    let mut how = OpenTreeFlags::OPEN_TREE_CLONE
        | OpenTreeFlags::OPEN_TREE_CLOEXEC
        | OpenTreeFlags::AT_EMPTY_PATH
        | OpenTreeFlags::AT_NO_AUTOMOUNT;
    if depth == Depth::All {
        how |= OpenTreeFlags::AT_RECURSIVE;
    }
    open_tree(directory, path, how).or_kernel(|| format!("open_tree({path:?}, CLONE, {depth:?})"))
}

/// A detached clone of a path of the host.
pub(crate) fn clone_host(path: &Path, depth: Depth) -> Result<OwnedFd, SandboxError> {
    clone_mount(CWD, path, depth)
}

/// Adds flags to a mount.
pub(crate) fn restrict(
    mount: impl AsFd,
    attributes: MountAttrFlags,
    depth: Depth,
) -> Result<(), SandboxError> {
    sys::mount_setattr(mount, attributes.bits().into(), 0, depth == Depth::All)
        .or_kernel(|| format!("mount_setattr({attributes:?}, {depth:?})"))
}

/// Says what a mount exchanges with others from now on, see mount_namespaces(7).
pub(crate) fn propagate(
    mount: impl AsFd,
    kind: MountPropagationFlags,
    depth: Depth,
) -> Result<(), SandboxError> {
    sys::mount_setattr(mount, 0, kind.bits().into(), depth == Depth::All)
        .or_kernel(|| format!("mount_setattr({kind:?}, {depth:?})"))
}

/// Attaches a detached mount on top of what `target` is. `name` is for the error.
pub(crate) fn attach(mount: impl AsFd, target: impl AsFd, name: &str) -> Result<(), SandboxError> {
    let how = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    move_mount(mount, c"", target, c"", how).or_kernel(|| format!("move_mount(to {name:?})"))
}

/// Attaches a detached mount on top of the host's `/`, in this mount namespace: an absolute path still means the
/// host's, and the descriptor of the mount is the way into it.
pub(crate) fn attach_over_root(mount: impl AsFd) -> Result<(), SandboxError> {
    move_mount(mount, c"", CWD, c"/", MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
        .or_kernel(|| String::from("move_mount(to \"/\")"))
}
