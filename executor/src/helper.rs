//! The helper process as the engine starts it: our own binary, executed anew.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rustix::event::PollFlags;
use rustix::net::{AddressFamily, Shutdown, SocketFlags, SocketType};

use crate::ahead;
use crate::dispatch::SANDBOX;
use crate::engine_binary;
use crate::error::{OrKernel, SandboxError};
use crate::seccomp;
use crate::wire::{Job, NewJob, has_news, send, to_memory_file};

/// A helper without a job yet. It waits for its first message, and for a while a process in new namespaces waits with it.
static SPARE: Mutex<Option<Helper>> = Mutex::new(None);

/// Starts a helper in advance, for the next [`crate::spawn`] of this process.
///
/// Worth a call as soon as it is known that a command will run: executing our binary takes 0.3 ms of the 2 ms that
/// a sandbox lives, more for a larger binary, and can happen while the engine does something else. One helper is
/// kept at most. It ends with this process. Not before [`crate::become_root`]: the helper stays in the namespaces
/// in which it starts.
///
/// # Errors
///
/// When no process can be started; the next [`crate::spawn`] would say the same.
pub fn prepare() -> Result<(), SandboxError> {
    // Locked while it starts: whoever wants a helper now gets this one, which is sooner than another of their own.
    let mut spare = spare();
    if spare.is_none() {
        *spare = Some(Helper::start()?);
    }
    drop(spare);
    seccomp::warm();
    Ok(())
}

fn spare() -> std::sync::MutexGuard<'static, Option<Helper>> {
    SPARE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The helper process. Dropping it ends and reaps it, and with it its command.
pub(crate) struct Helper {
    // Dropped in this order: the helper ends when its control socket is closed, and then is reaped.
    pub(crate) control: OwnedFd,
    process: Process,
}

impl Helper {
    /// A helper that has its job.
    pub(crate) fn with_job(job: &Job, theirs: &[BorrowedFd<'_>]) -> Result<Self, SandboxError> {
        let file = to_memory_file(job).or_kernel(|| String::from("memfd_create(job)"))?;
        let mut fds: Vec<BorrowedFd<'_>> = vec![file.as_fd()];
        fds.extend(theirs);
        let new_job = NewJob(ahead::kind_of(job));
        let spare = spare().take();
        if let Some(helper) = spare
            && send(&helper.control, &new_job, &fds).is_ok()
        {
            return Ok(helper);
        }
        let helper = Self::start()?;
        send(&helper.control, &new_job, &fds).or_kernel(|| String::from("sendmsg(control, job)"))?;
        Ok(helper)
    }

    /// Executes our binary, without a fork: the standard library uses posix_spawn(3) here.
    fn start() -> Result<Self, SandboxError> {
        let (control, remote) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .or_kernel(|| String::from("socketpair(AF_UNIX, SOCK_SEQPACKET)"))?;
        let binary = engine_binary::path()?;
        let process = Command::new(&binary)
            .arg0(SANDBOX)
            .env_clear()
            .stdin(Stdio::from(remote))
            // Out of the terminal's process group: Ctrl-C is for the engine, which then decides.
            .process_group(0)
            .spawn()
            .or_kernel(|| format!("posix_spawn({binary:?})"))?;
        Ok(Self { control, process: Process(process) })
    }

    /// Lets go of it, without waiting for its end.
    pub(crate) fn let_go(&self) {
        // It may be gone already.
        let _ = rustix::net::shutdown(&self.control, Shutdown::Write);
    }

    /// Whether within `patience`, or ever, it has let go of the mounts of its command, which ends what it has to say.
    pub(crate) fn has_unmounted(&self, patience: Option<Duration>) -> bool {
        has_news(&self.control, PollFlags::RDHUP, patience)
    }

    /// Lets go of it, and waits for its end. In a process that ignores SIGCHLD the kernel keeps no status: then it counts as success.
    pub(crate) fn dismiss(&mut self) -> Result<ExitStatus, SandboxError> {
        self.let_go();
        match self.process.0.wait() {
            Err(error) if error.raw_os_error() == Some(libc::ECHILD) => Ok(ExitStatus::from_raw(0)),
            result => result.or_kernel(|| String::from("wait4(helper)")),
        }
    }
}

/// A child process that is reaped when dropped.
struct Process(std::process::Child);

impl Drop for Process {
    fn drop(&mut self) {
        // The only error is that somebody else reaped it.
        let _ = self.0.wait();
    }
}
