//! The mounts that a specification asks for, and the small files that every container gets.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};
use rustix::mount::{MountAttrFlags, MountPropagationFlags};

use crate::device_file::device_file;
use crate::devices::Scratch;
use crate::error::{OrKernel, SandboxError};
use crate::file_system::file_system;
use crate::mounting::{Depth, Parameter, clone_host, clone_mount, flags, mount_new, propagate, restrict};
use crate::overlay::{OverlayUpper, overlay};
use crate::socket::Listening;
use crate::spec::{Below, Binding, Mount, Propagation, Reach, Spec};
use crate::tree::{Kind, Tree, file_type, open_in_root};

/// Mode of `/etc/hosts` and its like.
const ETC_FILE_MODE: u32 = 0o644;

/// Mounts `/etc/hosts`, `/etc/resolv.conf` and `/etc/hostname` as files in memory: nothing of them reaches a layer.
pub(crate) fn mount_etc(tree: &mut Tree, scratch: &Scratch, spec: &Spec) -> Result<(), SandboxError> {
    let hostname = if spec.hostname.is_empty() { String::new() } else { format!("{}\n", spec.hostname) };
    let files =
        [("/etc/hosts", &spec.hosts), ("/etc/resolv.conf", &spec.resolv_conf), ("/etc/hostname", &hostname)];
    for (path, content) in files {
        if !content.is_empty() {
            let file = scratch.file(content.as_bytes(), ETC_FILE_MODE, None)?;
            let target = tree.target(path, Kind::File)?;
            tree.attach(&file, &target, path)?;
        }
    }
    Ok(())
}

/// Clones of the sources that go on seeing the host's mounts. To be made before this mount namespace lets go of those.
pub(crate) fn clone_connected(mounts: &[Mount]) -> Result<Vec<Option<OwnedFd>>, SandboxError> {
    let clone = |mount: &Mount| match mount {
        Mount::Bind { source, subpath, binding, .. } if binding.propagation != Propagation::Private => {
            clone_source(source, subpath, depth(*binding)).map(Some)
        }
        _ => Ok(None),
    };
    mounts.iter().map(clone).collect()
}

/// Makes one mount of the specification, of the clone that is there already if there is one. Returns what listens, if it
/// is a socket.
pub(crate) fn mount_one(
    tree: &mut Tree,
    scratch: &Scratch,
    mount: &Mount,
    connected: Option<OwnedFd>,
) -> Result<Option<OwnedFd>, SandboxError> {
    let mut listener = None;
    let (source, target) = match mount {
        Mount::Bind { source, subpath, target, read_only, binding } => {
            let clone = connected.map_or_else(|| clone_source(source, subpath, depth(*binding)), Ok)?;
            (bind(clone, *read_only, *binding)?, target)
        }
        Mount::FileSystem { fstype, source, options, target } => {
            (file_system(fstype, source, options)?, target)
        }
        Mount::Tmpfs { target, size_bytes, mode, read_only } => {
            (tmpfs(*size_bytes, *mode, *read_only)?, target)
        }
        Mount::Overlay { lowers, subpath, target, read_only } => {
            (overlay_at(scratch, lowers, subpath, *read_only)?, target)
        }
        Mount::File { target, content, mode, uid, gid } => {
            let file = scratch.file(content.bytes(), *mode, Some((*uid, *gid)))?;
            restrict(&file, flags::KERNEL | flags::READ_ONLY, Depth::One)?;
            (file, target)
        }
        Mount::Device { source, target, owner, mode } => {
            (device_file(scratch, source, *owner, *mode)?, target)
        }
        Mount::Socket { target, mode, uid, gid } => {
            let Listening { socket, file } = scratch.listen(*mode, (*uid, *gid))?;
            listener = Some(socket);
            (file, target)
        }
    };
    let is_directory = file_type(&source).or_kernel(|| format!("fstat(source for {target:?})"))?.is_dir();
    let kind = if is_directory { Kind::Directory } else { Kind::File };
    let place = tree.target(target, kind)?;
    tree.attach(&source, &place, target)?;
    Ok(listener)
}

fn depth(binding: Binding) -> Depth {
    match binding.below {
        Below::All | Below::AllWritable => Depth::All,
        Below::None => Depth::One,
    }
}

fn clone_source(source: &Path, subpath: &str, depth: Depth) -> Result<OwnedFd, SandboxError> {
    if is_whole(subpath) {
        return clone_host(source, depth);
    }
    let root = rustix::fs::open(source, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
        .or_kernel(|| format!("open({source:?}, O_PATH)"))?;
    clone_mount(inside(&root, subpath)?, Path::new(""), depth)
}

fn bind(mount: OwnedFd, read_only: bool, binding: Binding) -> Result<OwnedFd, SandboxError> {
    if binding.below == Below::AllWritable && read_only {
        restrict(&mount, flags::READ_ONLY, Depth::One)?;
        restrict(&mount, data_flags(false), Depth::All)?;
    } else {
        restrict(&mount, data_flags(read_only), Depth::All)?;
    }
    let (kind, reach) = match binding.propagation {
        Propagation::Private => return Ok(mount),
        Propagation::Slave(reach) => (MountPropagationFlags::DOWNSTREAM, reach),
        Propagation::Shared(reach) => (MountPropagationFlags::SHARED, reach),
    };
    propagate(&mount, kind, if reach == Reach::All { Depth::All } else { Depth::One })?;
    Ok(mount)
}

fn is_whole(subpath: &str) -> bool {
    subpath.split('/').all(|name| name.is_empty() || name == ".")
}

fn inside(root: &OwnedFd, subpath: &str) -> Result<OwnedFd, SandboxError> {
    open_in_root(root, Path::new(subpath), OFlags::PATH).map_err(|errno| SandboxError::BadField {
        field: String::from("subpath"),
        value: subpath.to_string(),
        problem: errno.to_string(),
    })
}

/// Programs on these mounts work as anywhere; device files do not.
fn data_flags(read_only: bool) -> MountAttrFlags {
    if read_only { flags::NO_DEVICES | flags::READ_ONLY } else { flags::NO_DEVICES }
}

fn tmpfs(size_bytes: Option<u64>, mode: u32, read_only: bool) -> Result<OwnedFd, SandboxError> {
    let mode = format!("{mode:o}");
    let size = size_bytes.map(|size| size.to_string());
    let mut parameters = vec![Parameter::Text("mode", &mode)];
    if let Some(size) = &size {
        parameters.push(Parameter::Text("size", size));
    }
    let attributes = if read_only { flags::DATA | flags::READ_ONLY } else { flags::DATA };
    mount_new("tmpfs", &parameters, attributes)
}

fn overlay_at(
    scratch: &Scratch,
    lowers: &[PathBuf],
    subpath: &str,
    read_only: bool,
) -> Result<OwnedFd, SandboxError> {
    let mount = if read_only {
        overlay(scratch, lowers, None, flags::NO_DEVICES)?
    } else {
        discarding_overlay(scratch, lowers)?
    };
    if is_whole(subpath) {
        return Ok(mount);
    }
    scratch.attach_aside(&mount)?;
    clone_mount(inside(&mount, subpath)?, Path::new(""), Depth::One)
}

/// An overlay whose changes are in memory and end with the container.
fn discarding_overlay(scratch: &Scratch, lowers: &[PathBuf]) -> Result<OwnedFd, SandboxError> {
    let changes = mount_new("tmpfs", &[Parameter::Text("mode", "0755")], flags::DATA)?;
    scratch.attach_aside(&changes)?;
    for name in ["upper", "work"] {
        rustix::fs::mkdirat(&changes, name, Mode::from_raw_mode(0o755))
            .or_kernel(|| format!("mkdirat(tmpfs, {name:?})"))?;
    }
    let at =
        |name| PathBuf::from(format!("/proc/self/fd/{}/{name}", std::os::fd::AsRawFd::as_raw_fd(&changes)));
    let (upper, work) = (at("upper"), at("work"));
    overlay(
        scratch,
        lowers,
        Some(&OverlayUpper { upper: &upper, work: &work, volatile: false }),
        flags::NO_DEVICES,
    )
}
