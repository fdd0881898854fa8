//! `/proc` and `/sys`: the kernel's own file systems, restricted to what a container may see and change.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use serde::{Deserialize, Serialize};

use crate::error::{OrKernel, SandboxError};
use crate::landlock::has_domain;
use crate::mounting::{Depth, clone_host, clone_mount, flags, mount_new, restrict};
use crate::sharing::Whose;
use crate::spec::{Confinement, Network, Spec};
use crate::sys::{self, Fork};
use crate::tree::{Kind, Tree};

/// Where every distribution mounts cgroup v2, if it is the only hierarchy.
const CGROUP_ROOT: &str = "/sys/fs/cgroup";

/// Whose processes `/proc` shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Processes {
    /// Those of the sandbox, and of those with whom it is to share them.
    #[default]
    Own,
    /// Those of the machine, or of the container in which the engine runs.
    All,
}

/// Mounts the `/proc` that was made for this pid namespace and writes the kernel parameters.
///
/// In a container whose `/proc` is partly covered the kernel makes no new one, since that would not be. There the
/// container's is cloned, with its covers. It shows processes of which a sandbox may use none: Landlock keeps it from
/// all that is behind their names, so without Landlock there is no such clone. Who is to share the processes of the host
/// gets the same clone where a user namespace is in the way of another one.
pub(crate) fn mount_proc(
    tree: &mut Tree,
    spec: &Spec,
    made: Result<OwnedFd, SandboxError>,
) -> Result<Processes, SandboxError> {
    let target = tree.target("/proc", Kind::Directory)?;
    match made {
        Err(SandboxError::Kernel { source, .. })
            if source.0 == libc::EPERM
                && (has_domain(spec) || spec.sharing.processes == Whose::Host)
                && spec.sysctls.is_empty() =>
        {
            let host = clone_host(Path::new("/proc"), Depth::All)?;
            restrict(&host, flags::KERNEL, Depth::All)?;
            tree.attach(&host, &target, "/proc")?;
            let is_asked = spec.sharing.processes == Whose::Host;
            Ok(if is_asked { Processes::Own } else { Processes::All })
        }
        proc => {
            let proc = proc?;
            for (name, value) in &spec.sysctls {
                write_sysctl(&proc, name, value)?;
            }
            tree.attach(&proc, &target, "/proc")?;
            Ok(Processes::Own)
        }
    }
}

/// Whether the kernel makes a `/proc` for a new pid namespace, which is tried in one.
pub(crate) fn probe_proc() -> Result<&'static str, SandboxError> {
    let call = || String::from("clone3(CLONE_NEWPID)");
    match sys::fork(libc::CLONE_NEWPID as u64).or_kernel(call)? {
        Fork::Child => std::process::exit(i32::from(mount_new("proc", &[], flags::KERNEL).is_err())),
        Fork::Parent { pid, .. } => {
            let (status, _) = sys::wait4(pid).or_kernel(|| format!("wait4({pid})"))?;
            let refused = || SandboxError::Kernel {
                call: String::from("fsmount(\"proc\")"),
                source: crate::error::Errno(libc::EPERM),
            };
            if status == 0 { Ok("shows the processes of a container alone") } else { Err(refused()) }
        }
    }
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
fn is_namespaced(name: &str, spec: &Spec) -> bool {
    const IPC: &[&str] = &["kernel.msgmax", "kernel.msgmnb", "kernel.msgmni", "kernel.sem"];
    let is_of_queues =
        IPC.contains(&name) || name.starts_with("kernel.shm") || name.starts_with("fs.mqueue.");
    (is_of_queues && spec.sharing.queues != Whose::Host)
        || (name.starts_with("net.") && spec.network != Network::Host)
}

/// Checks the names of kernel parameters before anything is set up.
pub(crate) fn check_sysctls(spec: &Spec) -> Result<(), SandboxError> {
    for (name, value) in &spec.sysctls {
        let is_name = name.split('.').all(|part| {
            !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
        });
        if !is_name || !is_namespaced(name, spec) {
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
    use crate::sharing::Sharing;
    use crate::spec::Rootfs;

    fn spec(name: &str, network: Network) -> Spec {
        let sysctls = vec![(name.to_string(), String::from("1"))];
        Spec { network, sysctls, ..Spec::new(Rootfs::Directory("/".into()), Vec::new()) }
    }

    fn accepts(name: &str, network: Network) -> bool {
        check_sysctls(&spec(name, network)).is_ok()
    }

    #[test]
    fn only_parameters_of_own_namespaces() {
        assert!(accepts("kernel.shm_rmid_forced", Network::Host));
        assert!(accepts("net.core.somaxconn", Network::None));
        assert!(!accepts("net.core.somaxconn", Network::Host));
        assert!(!accepts("kernel.core_pattern", Network::None));
        assert!(!accepts("kernel.shm/../core_pattern", Network::None));
        assert!(!accepts("net..core", Network::None));
        let sharing = Sharing { queues: Whose::Host, ..Sharing::default() };
        let with_queues_of_host = Spec { sharing, ..spec("kernel.shmmax", Network::None) };
        assert!(check_sysctls(&with_queues_of_host).is_err());
    }
}
