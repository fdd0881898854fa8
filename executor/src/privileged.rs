//! What a privileged container has beyond an ordinary one.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{FileType, Mode};
use rustix::io::Errno;

use crate::devices::bind_into;
use crate::error::{OrKernel, SandboxError};
use crate::mounting::{Depth, Parameter, clone_host, flags, mount_new};

/// Device files with their numbers, as in BuildKit, see the kernel's `admin-guide/devices`.
const NODES: &[(&str, u32, u32)] = &[
    ("kmsg", 1, 11),
    ("net/tun", 10, 200),
    ("cuse", 10, 203),
    ("fuse", 10, 229),
    ("kvm", 10, 232),
    ("loop-control", 10, 237),
];

/// Number of the driver of loop devices.
const LOOP_MAJOR: u32 = 7;
/// Loop devices beyond those that are in use, as in BuildKit.
const LOOPS_FREE: u32 = 8;
/// Most loop devices.
const LOOPS_MAX: u32 = 256;

/// A file system in memory for `/dev`, on which device files work.
pub(crate) fn new_dev() -> Result<OwnedFd, SandboxError> {
    mount_new("tmpfs", &[Parameter::Text("mode", "0755")], flags::NO_SUID)
}

/// Makes the device files. Where the kernel lets nobody make any, in a user namespace, those of the host are mounted.
pub(crate) fn add_nodes(dev: &OwnedFd) -> Result<(), SandboxError> {
    rustix::fs::mkdirat(dev, "net", Mode::from_raw_mode(0o755))
        .or_kernel(|| String::from("mkdirat(/dev/net)"))?;
    for (name, major, minor) in NODES {
        add_node(dev, name, FileType::CharacterDevice, (*major, *minor))?;
    }
    for number in 0..loops() {
        add_node(dev, &format!("loop{number}"), FileType::BlockDevice, (LOOP_MAJOR, number))?;
    }
    Ok(())
}

fn add_node(
    dev: &OwnedFd,
    name: &str,
    kind: FileType,
    (major, minor): (u32, u32),
) -> Result<(), SandboxError> {
    let device = rustix::fs::makedev(major, minor);
    match rustix::fs::mknodat(dev, name, kind, Mode::from_raw_mode(0o600), device) {
        Err(Errno::PERM) => match clone_host(&Path::new("/dev").join(name), Depth::One) {
            Ok(host) => bind_into(dev.as_fd(), name, &host),
            // Not every machine has every device.
            Err(SandboxError::Kernel { source, .. }) if source.0 == libc::ENOENT => Ok(()),
            Err(error) => Err(error),
        },
        result => result.or_kernel(|| format!("mknodat(/dev/{name}, {major}:{minor})")),
    }
}

/// How many loop devices there shall be: those of the kernel, and some.
fn loops() -> u32 {
    let names = std::fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let number = |name: &str| name.strip_prefix("loop")?.parse::<u32>().ok();
    let highest = names.filter_map(|entry| number(entry.file_name().to_str()?)).max();
    highest.map_or(0, |highest| highest + 1).saturating_add(LOOPS_FREE).min(LOOPS_MAX)
}
