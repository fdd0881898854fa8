//! The first process of a sandbox, made while the helper still waits for its job.
//!
//! Making the namespaces and their first mounts takes a third of the time that an ordinary sandbox needs to start.

use std::os::fd::{BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::init;
use crate::spec::{Confinement, Mount};
use crate::supervisor::namespaces;
use crate::sys::{self, Fork};
use crate::wire::{Job, JobKind, NewJob, has_news, send};

/// As long a process without a job is kept. It sees the mounts of the host as they were when it was made, and keeps from being let
/// go of what is unmounted meanwhile.
const KEPT: Duration = Duration::from_secs(5);

/// A job, or the end.
const NEWS: PollFlags = PollFlags::IN.union(PollFlags::RDHUP);

/// The namespaces that an ordinary job wants.
const NAMESPACES: i32 =
    libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS | libc::CLONE_NEWCGROUP;

/// Whether a process that was made before anything was known of it can do this.
pub(crate) fn kind_of(job: &Job) -> JobKind {
    let Job { spec, entrances, .. } = job;
    // What is mounted on the host may have changed since.
    let looks_at_host =
        |mount: &Mount| matches!(mount, Mount::Bind { .. } | Mount::FileSystem { .. } | Mount::Device { .. });
    let is_ordinary = entrances.is_empty()
        && namespaces(job) == NAMESPACES as u64
        && spec.confinement == Confinement::Ordinary
        && !spec.mounts.iter().any(looks_at_host);
    if is_ordinary { JobKind::Ordinary } else { JobKind::Other }
}

/// A process in new namespaces that waits for its job. Dropping it ends and reaps it.
pub(crate) struct Ahead {
    process: Option<(i32, OwnedFd)>,
    /// It ends with this.
    jobs: Option<OwnedFd>,
}

impl Ahead {
    /// None where there is no time for it, since the job is there, or where the kernel refuses: it will say so again when there
    /// is a job.
    pub(crate) fn start(control: &OwnedFd) -> Option<Self> {
        if has_news(control, NEWS, Some(Duration::ZERO)) {
            return None;
        }
        let (jobs, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .ok()?;
        match sys::fork(NAMESPACES as u64).ok()? {
            Fork::Child => {
                drop(jobs);
                init::run_ahead(&theirs, control)
            }
            Fork::Parent { pid, pidfd } => Some(Self { process: Some((pid, pidfd)), jobs: Some(jobs) }),
        }
    }

    /// Waits for something to happen to the control socket. Gives itself up when that takes long.
    pub(crate) fn until_news(self, control: &OwnedFd) -> Option<Self> {
        has_news(control, NEWS, Some(KEPT)).then_some(self)
    }

    /// Makes it the process of this job. None if it is gone, or if it cannot be: then it ends now.
    pub(crate) fn take(&mut self, kind: JobKind, fds: &[BorrowedFd<'_>]) -> Option<(i32, OwnedFd)> {
        let jobs = self.jobs.take()?;
        match kind {
            JobKind::Ordinary => send(&jobs, &NewJob(kind), fds).ok().and_then(|()| self.process.take()),
            JobKind::Other => None,
        }
    }
}

impl Drop for Ahead {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some((pid, pidfd)) = self.process.take() {
            // Whichever way it is gone already, there is nobody left who would want to know.
            let _ = sys::pidfd_send_signal(&pidfd, libc::SIGKILL);
            let _ = sys::wait4(pid);
        }
    }
}
