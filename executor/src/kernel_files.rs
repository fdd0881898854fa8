//! `/proc` and `/sys`: the kernel's own file systems, restricted to what a container may see and change.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;

use crate::error::{OrKernel, SandboxError};
use crate::mounting::{Depth, clone_host, clone_mount, flags, mount_new, restrict};
use crate::spec::{Confinement, Network};
use crate::tree::{Kind, Tree};

/// Where every distribution mounts cgroup v2, if it is the only hierarchy.
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// Mounts `/proc` for this pid namespace and writes the kernel parameters.
pub(crate) fn mount_proc(tree: &mut Tree, sysctls: &[(String, String)]) -> Result<(), SandboxError> {
    let proc = mount_new("proc", &[], flags::KERNEL)?;
    for (name, value) in sysctls {
        write_sysctl(&proc, name, value)?;
    }
    let target = tree.target("/proc", Kind::Directory)?;
    tree.attach(&proc, &target, "/proc")
}

/// Mounts `/sys`, with the container's view of cgroup v2. Read-only unless the container is privileged.
///
/// A user namespace that shares the host's network may not make a new sysfs; there the host's is cloned.
pub(crate) fn mount_sys(tree: &mut Tree, confinement: Confinement) -> Result<(), SandboxError> {
    let target = tree.target("/sys", Kind::Directory)?;
    let attributes = match confinement {
        Confinement::Ordinary => flags::KERNEL | flags::READ_ONLY,
        Confinement::Privileged => flags::KERNEL,
    };
    match mount_new("sysfs", &[], attributes) {
        Err(SandboxError::Kernel { source, .. }) if source.0 == libc::EPERM => {
            let host = clone_host(Path::new("/sys"), Depth::All)?;
            restrict(&host, attributes, Depth::All)?;
            tree.attach(&host, &target, "/sys")
        }
        sysfs => {
            tree.attach(&sysfs?, &target, "/sys")?;
            mount_cgroup(tree, attributes)
        }
    }
}

fn mount_cgroup(tree: &Tree, attributes: MountAttrFlags) -> Result<(), SandboxError> {
    let is_unified = rustix::fs::statfs(CGROUP_ROOT)
        .is_ok_and(|statfs| statfs.f_type as u64 == libc::CGROUP2_SUPER_MAGIC as u64);
    if !is_unified {
        return Ok(());
    }
    let target = tree.find(CGROUP_ROOT).or_kernel(|| format!("openat2({CGROUP_ROOT:?})"))?;
    match mount_new("cgroup2", &[], attributes) {
        // Inside another container it may be refused; programs then see no cgroups, as on a host without.
        Err(SandboxError::Kernel { source, .. }) if source.0 == libc::EPERM => Ok(()),
        cgroup => tree.attach(&cgroup?, &target, CGROUP_ROOT),
    }
}

/// Mounts a path on itself, read-only, if it exists.
pub(crate) fn make_read_only(tree: &Tree, path: &str) -> Result<(), SandboxError> {
    let found = match tree.find(path) {
        Err(Errno::NOENT | Errno::NOTDIR) => return Ok(()),
        found => found.or_kernel(|| format!("openat2(read-only path {path:?})"))?,
    };
    let mount = clone_mount(&found, Path::new(""), Depth::All)?;
    restrict(&mount, flags::READ_ONLY | flags::KERNEL, Depth::All)?;
    tree.attach(&mount, &found, path)
}

/// Whether a kernel parameter belongs to a namespace that the container has for itself.
fn is_namespaced(name: &str, network: Network) -> bool {
    const IPC: &[&str] = &["kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem"];
    IPC.contains(&name)
        || name.starts_with("kernel.shm")
        || name.starts_with("fs.mqueue.")
        || (name.starts_with("net.") && network != Network::Host)
}

/// Checks the names of kernel parameters before anything is set up.
pub(crate) fn check_sysctls(sysctls: &[(String, String)], network: Network) -> Result<(), SandboxError> {
    for (name, value) in sysctls {
        let is_name = name.split('.').all(|part| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        });
        if !is_name || !is_namespaced(name, network) {
            return Err(SandboxError::BadField {
                field: String::from("sysctls"),
                value: format!("{name}={value}"),
                problem: String::from("no kernel parameter of a namespace that this container has"),
            });
        }
    }
    Ok(())
}

fn write_sysctl(proc: impl AsFd, name: &str, value: &str) -> Result<(), SandboxError> {
    let path = format!("sys/{}", name.replace('.', "/"));
    let call = || format!("write(/proc/{path:?}, {value:?})");
    let file: OwnedFd =
        rustix::fs::openat(proc, &*path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty()).or_kernel(call)?;
    rustix::io::write(file, value.as_bytes()).or_kernel(call)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(name: &str, network: Network) -> bool {
        check_sysctls(&[(name.to_string(), String::from("1"))], network).is_ok()
    }

    #[test]
    fn only_parameters_of_own_namespaces() {
        assert!(accepts("kernel.shm_rmid_forced", Network::Host));
        assert!(accepts("net.core.somaxconn", Network::None));
        assert!(!accepts("net.core.somaxconn", Network::Host));
        assert!(!accepts("kernel.core_pattern", Network::None));
        assert!(!accepts("kernel.shm/../core_pattern", Network::None));
        assert!(!accepts("net..core", Network::None));
    }
}
