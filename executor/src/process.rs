//! A child process of ours, and what its sandbox says while it is set up.

use std::os::fd::OwnedFd;

use crate::child::{Exit, Terminal, Usage, exit_of, lost};
use crate::error::{OrKernel, SandboxError};
use crate::kernel_files::Processes;
use crate::stubs::Stubs;
use crate::supervisor::used;
use crate::sys;
use crate::wire::{Report, receive};

/// A child process, which is killed and reaped when dropped.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: i32,
    pub(crate) pidfd: OwnedFd,
    is_reaped: bool,
}

/// What a sandbox says of itself when it is complete.
#[derive(Default)]
pub(crate) struct Ready {
    pub(crate) stubs: Stubs,
    pub(crate) processes: Processes,
    pub(crate) terminal: Option<Terminal>,
    /// Another process that was started for the command.
    pub(crate) command: Option<OwnedFd>,
}

impl Process {
    pub(crate) fn new(pid: i32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd, is_reaped: false }
    }

    /// Waits until the program was executed, or could not be: then both close their end.
    pub(crate) fn set_up(
        &mut self,
        control: &OwnedFd,
    ) -> Result<(Ready, Option<SandboxError>), SandboxError> {
        let mut ready = None;
        let mut failure = None;
        let mut command = None;
        let call = || String::from("recvmsg(control)");
        while let Some((report, mut fds)) = receive(control).or_kernel(call)? {
            match report {
                Report::Ready { stubs, listeners: _, is_on_demand: _, processes } => {
                    let terminal = fds.pop().map(Terminal::from);
                    ready = Some(Ready { stubs, processes, terminal, command: None });
                }
                Report::Failed(error) => failure = Some(error),
                Report::Started => command = fds.pop(),
                Report::Exited { .. } => {}
            }
        }
        if ready.is_none() && failure.is_none() {
            failure = Some(lost("ended before it had set up the sandbox"));
        }
        Ok((Ready { command, ..ready.unwrap_or_default() }, failure))
    }

    pub(crate) fn signal(&self, signal: i32) {
        // The only error for our own child is that it is gone.
        let _ = sys::pidfd_send_signal(&self.pidfd, signal);
    }

    pub(crate) fn wait(&mut self) -> Result<(Exit, Usage), SandboxError> {
        let pid = self.pid;
        let ended = sys::wait4(pid).or_kernel(|| format!("wait4({pid})"));
        self.is_reaped = true;
        let (status, usage) = ended?;
        Ok((exit_of(status), used(&usage)))
    }

    pub(crate) fn end(&mut self) {
        if !self.is_reaped {
            self.signal(libc::SIGKILL);
            // Whoever has reaped it has waited for it.
            let _ = self.wait();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}
