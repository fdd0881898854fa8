//! Which processes belong to a sandbox, as the host numbers them.

use std::os::fd::{AsRawFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::cgroup::Cgroups;
use crate::child::lost;
use crate::error::{OrKernel, SandboxError};
use crate::sys;

/// How often to look for processes that were started meanwhile.
const GATHERINGS_MAX: usize = 100;

/// The mount namespace of a sandbox. It stays for as long as this lives, so that no other one gets its number meanwhile.
#[derive(Debug)]
pub(crate) struct Mounts {
    identity: Identity,
    _namespace: OwnedFd,
}

/// The device and the number of a namespace's file.
type Identity = (u64, u64);

/// That of the mount namespace of a process; none of one that has ended.
fn identity(pid: i32) -> Option<Identity> {
    let stat = rustix::fs::stat(format!("/proc/{pid}/ns/mnt")).ok()?;
    Some((stat.st_dev, stat.st_ino))
}

impl Mounts {
    /// That of a process; none of one that has ended.
    pub(crate) fn of(pid: i32) -> Option<Self> {
        let flags = OFlags::RDONLY | OFlags::CLOEXEC;
        let namespace = rustix::fs::open(format!("/proc/{pid}/ns/mnt"), flags, Mode::empty()).ok()?;
        let stat = rustix::fs::fstat(&namespace).ok()?;
        Some(Self { identity: (stat.st_dev, stat.st_ino), _namespace: namespace })
    }

    /// All processes in it: a sandbox has one for itself, whatever else it shares.
    pub(crate) fn members(&self) -> Vec<i32> {
        processes().filter(|pid| identity(*pid) == Some(self.identity)).collect()
    }

    /// Kills all processes in it, and whom they start meanwhile.
    pub(crate) fn clear(&self) {
        for _ in 0..GATHERINGS_MAX {
            let members = self.members();
            if members.is_empty() {
                return;
            }
            for pid in members {
                // Looked at again with the process in hand, so that no later one with its number is meant.
                let pidfd = Pid::from_raw(pid).map(|pid| pidfd_open(pid, PidfdFlags::empty()));
                if let Some(Ok(pidfd)) = pidfd
                    && identity(pid) == Some(self.identity)
                {
                    let _ = sys::pidfd_send_signal(&pidfd, libc::SIGKILL);
                }
            }
        }
    }
}

/// Numbers of all processes, see proc(5).
fn processes() -> impl Iterator<Item = i32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
}

/// All processes with their parents, see proc_pid_stat(5).
pub(crate) fn parents() -> Vec<(i32, i32)> {
    let with_parent = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name of the program, in brackets, may contain anything.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent))
    };
    processes().filter_map(with_parent).collect()
}

/// These processes and all that descend from them.
pub(crate) fn with_descendants(mut members: Vec<i32>) -> Vec<i32> {
    let parents = parents();
    let mut known = 0;
    while known < members.len() {
        let parent = members[known];
        let children = parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid);
        members.extend(children);
        known += 1;
    }
    members
}

/// Moves all members to groups. Whoever is started meanwhile is where its parent is: sooner or later nobody is left.
pub(crate) fn gather(groups: &Cgroups, members: impl Fn() -> Vec<i32>) -> Result<(), SandboxError> {
    for _ in 0..GATHERINGS_MAX {
        let inside = groups.members();
        let outside: Vec<i32> = members().into_iter().filter(|pid| !inside.contains(pid)).collect();
        if outside.is_empty() {
            return Ok(());
        }
        outside.into_iter().try_for_each(|pid| groups.add(pid))?;
    }
    Err(lost("starts processes faster than they can be stopped"))
}

/// The number of the process that a descriptor means, see pidfd_open(2).
pub(crate) fn pid_of(pidfd: &OwnedFd) -> Result<i32, SandboxError> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = std::fs::read_to_string(&path).or_kernel(|| format!("read({path:?})"))?;
    let number = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    number.ok_or_else(|| lost("started a process without a number"))
}
