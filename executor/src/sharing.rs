//! Namespaces that a command shares instead of having its own.

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::sched::CloneFlags;
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags};
use serde::{Deserialize, Serialize};

use crate::error::{OrKernel, SandboxError};
use crate::mounting::{Depth, clone_mount};
use crate::spec::{Network, Spec};

/// Whose a namespace is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Whose {
    /// A new one, for this sandbox alone.
    #[default]
    Own,
    /// That of the machine, or of the container in which the engine runs.
    Host,
    /// That of another sandbox, see [`Neighbours`].
    Joined,
}

/// Whose namespaces a command has beside that of its network, see namespaces(7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharing {
    /// Processes. In the namespace of somebody else a process of ours stays between the caller and the command, and the
    /// command ends with everything that it started all the same.
    pub processes: Whose,
    /// Queues, semaphores and shared memory, with `/dev/shm` and `/dev/mqueue`.
    pub queues: Whose,
    /// The host name. It can only be one's own or the host's.
    pub names: Whose,
}

/// The sandboxes whose namespaces are joined: pidfds of their commands.
#[derive(Debug, Default)]
pub struct Neighbours {
    /// For [`Sharing::processes`].
    pub processes: Option<OwnedFd>,
    /// For [`Sharing::queues`].
    pub queues: Option<OwnedFd>,
    /// For [`Network::Joined`].
    pub network: Option<OwnedFd>,
}

/// Where all sandboxes have their shared memory.
const SHARED_MEMORY: &str = "/dev/shm";

impl Sharing {
    /// The namespaces that are made for a command, for clone3(2).
    pub(crate) fn to_make(self) -> i32 {
        let made = |whose, namespace| if whose == Whose::Own { namespace } else { 0 };
        made(self.processes, libc::CLONE_NEWPID)
            | made(self.queues, libc::CLONE_NEWIPC)
            | made(self.names, libc::CLONE_NEWUTS)
    }

    /// Those in which a further command joins the first one, that of the processes aside. Where the host's is shared there is no
    /// other to join, and an ordinary user may not.
    pub(crate) fn to_join(self) -> CloneFlags {
        let joined = |whose, namespace| if whose == Whose::Host { CloneFlags::empty() } else { namespace };
        joined(self.queues, CloneFlags::CLONE_NEWIPC) | joined(self.names, CloneFlags::CLONE_NEWUTS)
    }
}

impl Neighbours {
    /// Joins all but the namespace of the processes, which only a child can. Returns the shared memory that comes with the queues.
    pub(crate) fn join(&self, spec: &Spec) -> Result<Option<OwnedFd>, SandboxError> {
        if spec.network == Network::Joined {
            enter(self.network.as_ref(), CloneFlags::CLONE_NEWNET)?;
        }
        if spec.sharing.queues != Whose::Joined {
            return Ok(None);
        }
        enter(self.queues.as_ref(), CloneFlags::CLONE_NEWIPC)?;
        self.queues.as_ref().map(shared_memory).transpose()
    }
}

fn enter(neighbour: Option<&OwnedFd>, namespace: CloneFlags) -> Result<(), SandboxError> {
    let missing = || SandboxError::Helper { problem: format!("received no process for {namespace:?}") };
    let neighbour = neighbour.ok_or_else(missing)?;
    nix::sched::setns(neighbour, namespace).or_kernel(|| format!("setns(neighbour, {namespace:?})"))
}

/// A detached mount of a sandbox's `/dev/shm`. Only what is mounted in the namespace of a process can be cloned by it, so it goes
/// there and comes back.
fn shared_memory(neighbour: &OwnedFd) -> Result<OwnedFd, SandboxError> {
    let own = rustix::fs::open("/proc/self/ns/mnt", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .or_kernel(|| String::from("open(\"/proc/self/ns/mnt\")"))?;
    enter(Some(neighbour), CloneFlags::CLONE_NEWNS)?;
    let memory = clone_shared_memory();
    nix::sched::setns(own.as_fd(), CloneFlags::CLONE_NEWNS)
        .or_kernel(|| String::from("setns(own, CLONE_NEWNS)"))?;
    memory
}

/// No link leads there: the sandbox has made the way itself.
fn clone_shared_memory() -> Result<OwnedFd, SandboxError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let directory = rustix::fs::openat2(CWD, SHARED_MEMORY, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
        .or_kernel(|| format!("openat2({SHARED_MEMORY:?})"))?;
    clone_mount(&directory, Path::new(""), Depth::One)
}
