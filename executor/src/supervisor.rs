//! The helper between the engine and the command: creates the namespaces, and outlives nobody.
//!
//! It is our own binary, executed anew: small, with a single thread. It stays in the host's namespaces, where the
//! command cannot reach it, and does two things while the command runs: it waits for its end, and it kills it when
//! the engine goes away, however that happens.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{Mode, OFlags};
use rustix::net::Shutdown;

use crate::ahead::Ahead;
use crate::cgroup;
use crate::child::Usage;
use crate::error::{OrKernel, SandboxError};
use crate::init::{self, Around};
use crate::sharing::Neighbours;
use crate::spec::Network;
use crate::sys::{self, Fork};
use crate::wire::{Job, JobKind, NewJob, Report, from_memory_file, receive, report_failure, send};
use crate::work::Work;

/// The unit of the block counts of getrusage(2).
const BLOCK_BYTES: u64 = 512;

/// Exit status when there is nobody to report to.
const EXIT_ORPHANED: i32 = 125;

/// Runs as a child process of the engine; descriptor 0 is the control socket. Never returns.
pub(crate) fn run() -> ! {
    let code = match io::stdin().as_fd().try_clone_to_owned() {
        Ok(control) => match supervise(&control) {
            Ok(()) => 0,
            Err(error) => report_failure(&control, error).map_or(EXIT_ORPHANED, |()| 0),
        },
        Err(_) => EXIT_ORPHANED,
    };
    std::process::exit(code)
}

fn supervise(control: &OwnedFd) -> Result<(), SandboxError> {
    // Also SIGCHLD: a caller that ignores it would leave us without the status of the command.
    sys::reset_signals().or_kernel(|| String::from("rt_sigaction(SIG_DFL)"))?;
    let engine = rustix::process::getppid();
    let mut ahead = Ahead::start(control).and_then(|ahead| ahead.until_news(control));
    let received = receive_job(control);
    if received.is_err() {
        // It may have been killed after it made groups, and before it told us of them.
        cgroup::sweep_when_gone(engine);
    }
    let received = received?;
    let taken = ahead.as_mut().and_then(|ahead| ahead.take(received.kind, &received.descriptors()));
    let job = received.read()?;
    // From here on only the command holds what came with the job: its readers see the end when it is gone.
    let (pid, pidfd) = match taken {
        Some(process) => {
            drop(received);
            process
        }
        None => first_process(&job, received, control)?,
    };
    let started = send(control, &Report::Started, &[pidfd.as_fd()]);
    let mounts = mounts_of(pid);
    let work = Work::of(&job.spec.rootfs);
    if started.is_err() || outlived(control, &pidfd)? {
        sys::pidfd_send_signal(&pidfd, libc::SIGKILL)
            .or_kernel(|| String::from("pidfd_send_signal(SIGKILL)"))?;
    }
    let (status, usage) = sys::wait4(pid).or_kernel(|| format!("wait4({pid})"))?;
    let exited = Report::Exited { status, usage: used(&usage) };
    // An engine that is gone does not want to know.
    let _ = send(control, &exited, &[]);
    drop(mounts);
    // Says so: nobody has to wait for the rest.
    let _ = rustix::net::shutdown(control, Shutdown::Write);
    work.empty();
    if !job.entrances.is_empty() {
        // The engine reads the account, and lets go of us. Killed before, it leaves the groups to us.
        dismissed(control)?;
        cgroup::remove_entered(&job.entrances);
    }
    Ok(())
}

/// Makes the process that sets up the sandbox and becomes the command.
fn first_process(job: &Job, received: Received, control: &OwnedFd) -> Result<(i32, OwnedFd), SandboxError> {
    let mut standard = received.beside;
    let network = network(job, &mut standard)?;
    let namespaces = namespaces(job);
    match sys::fork(namespaces).or_kernel(|| format!("clone3({namespaces:#x})"))? {
        Fork::Child => {
            let around = Around { network: network.as_ref(), neighbours: &Neighbours::default() };
            init::run(job, &standard, &around, control)
        }
        Fork::Parent { pid, pidfd } => Ok((pid, pidfd)),
    }
}

/// The mount namespace of a process. While it is held the kernel does not take it apart: that is ours to do when all is
/// told, and the engine need not wait for it before it works on. Best effort, since it only takes time.
fn mounts_of(pid: i32) -> Option<OwnedFd> {
    let path = format!("/proc/{pid}/ns/mnt");
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

/// A job that has come.
pub(crate) struct Received {
    kind: JobKind,
    /// The memory file of the job.
    file: OwnedFd,
    /// The standard streams, and then the network.
    pub(crate) beside: Vec<OwnedFd>,
}

impl Received {
    fn descriptors(&self) -> Vec<BorrowedFd<'_>> {
        std::iter::once(&self.file).chain(&self.beside).map(AsFd::as_fd).collect()
    }

    pub(crate) fn read(&self) -> Result<Job, SandboxError> {
        from_memory_file(&self.file).or_kernel(|| String::from("read(job)"))
    }
}

/// Waits for the job.
pub(crate) fn receive_job(socket: &OwnedFd) -> Result<Received, SandboxError> {
    let no_job = || SandboxError::Helper { problem: String::from("received no job") };
    let received = receive(socket).or_kernel(|| String::from("recvmsg(control, job)"))?;
    let (NewJob(kind), mut beside) = received.ok_or_else(no_job)?;
    if beside.is_empty() {
        return Err(no_job());
    }
    Ok(Received { kind, file: beside.remove(0), beside })
}

/// Where the command's network comes from, if it does not make or share one.
pub(crate) struct NetworkSource {
    pub(crate) namespace: OwnedFd,
    /// See [`crate::network::Connection`]. A network on demand has none yet.
    pub(crate) gate: Option<OwnedFd>,
}

/// The last descriptors of a job with a private network.
pub(crate) fn network(job: &Job, fds: &mut Vec<OwnedFd>) -> Result<Option<NetworkSource>, SandboxError> {
    let lost = || SandboxError::Helper { problem: String::from("received no network") };
    let gate = match job.spec.network {
        Network::Host | Network::None | Network::Joined => return Ok(None),
        Network::OnDemand(_) => None,
        Network::Private => Some(fds.pop().ok_or_else(lost)?),
    };
    Ok(Some(NetworkSource { namespace: fds.pop().ok_or_else(lost)?, gate }))
}

pub(crate) fn namespaces(job: &Job) -> u64 {
    let base = libc::CLONE_NEWNS | job.spec.sharing.to_make();
    // The root of what the command sees is the group in which the namespace is made: its own, once it is in it.
    let cgroup = if job.entrances.is_empty() { libc::CLONE_NEWCGROUP } else { 0 };
    let network = match job.spec.network {
        // A private one is there already.
        Network::Host | Network::Private | Network::OnDemand(_) | Network::Joined => 0,
        Network::None => libc::CLONE_NEWNET,
    };
    (base | cgroup | network) as u64
}

/// Waits for the end of the command, or of the engine. True if the engine ended first.
fn outlived(control: &OwnedFd, pidfd: &OwnedFd) -> Result<bool, SandboxError> {
    loop {
        // Nothing is ever sent to us again: all that can happen to the socket is its end.
        let mut fds = [PollFd::new(control, PollFlags::RDHUP), PollFd::new(pidfd, PollFlags::IN)];
        match poll(&mut fds, None) {
            Err(rustix::io::Errno::INTR) => continue,
            result => result.or_kernel(|| String::from("poll(control, pidfd)"))?,
        };
        if !fds[1].revents().is_empty() {
            return Ok(false);
        }
        if !fds[0].revents().is_empty() {
            return Ok(true);
        }
    }
}

/// Waits until the engine has no more use for us, or is gone.
fn dismissed(control: &OwnedFd) -> Result<(), SandboxError> {
    let mut fds = [PollFd::new(control, PollFlags::RDHUP)];
    rustix::io::retry_on_intr(|| poll(&mut fds, None)).or_kernel(|| String::from("poll(control)"))?;
    Ok(())
}

/// What wait4(2) says of a process and its children; the engine alone knows how long it waited.
pub(crate) fn used(usage: &libc::rusage) -> Usage {
    let count = |number: libc::c_long| u64::try_from(number).unwrap_or(0);
    Usage {
        wall: Duration::ZERO,
        user: duration(usage.ru_utime),
        system: duration(usage.ru_stime),
        max_rss_bytes: count(usage.ru_maxrss) << 10,
        read_bytes: count(usage.ru_inblock) * BLOCK_BYTES,
        written_bytes: count(usage.ru_oublock) * BLOCK_BYTES,
    }
}

fn duration(time: libc::timeval) -> Duration {
    let (seconds, micros) = (u64::try_from(time.tv_sec), u64::try_from(time.tv_usec));
    Duration::from_secs(seconds.unwrap_or(0)) + Duration::from_micros(micros.unwrap_or(0))
}
