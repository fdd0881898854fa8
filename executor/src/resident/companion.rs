//! One more command in a sandbox whose helper is the calling process.

use std::os::fd::{AsFd, BorrowedFd};

use super::{Resident, control};
use crate::cgroup::Cgroups;
use crate::child::{Exit, Terminal, lost};
use crate::error::{OrKernel, SandboxError};
use crate::io::{Connected, Io, connect};
use crate::join;
use crate::members::pid_of;
use crate::process::{Process, Ready};
use crate::seccomp;
use crate::spec::Spec;
use crate::sys::{self, Fork};
use crate::wire::Job;

/// One more command in the sandbox of a [`Resident`]. Dropping it kills that command.
#[derive(Debug)]
pub struct Companion {
    process: Process,
    terminal: Option<Terminal>,
}

impl Resident {
    /// Starts one more command in the same surroundings. Of `spec` counts what a process has of its own: arguments,
    /// environment, directory, user, capabilities, system calls and limits.
    ///
    /// # Errors
    ///
    /// As those of [`crate::reside`].
    pub fn exec(&self, spec: &Spec, io: Io) -> Result<Companion, SandboxError> {
        let Connected { streams, theirs, ours: _ } = connect(io)?;
        let entrances = self.groups.as_ref().map(Cgroups::entrances).unwrap_or_default();
        let spec = Spec { network: self.spec.network, sharing: self.spec.sharing, ..spec.clone() };
        let job = Job { filter: seccomp::filter(&spec), spec, streams, entrances };
        let (control, theirs_control) = control()?;
        let fork = sys::fork(0).or_kernel(|| String::from("clone3()"))?;
        let mut entering = match fork {
            Fork::Child => {
                let _ = sys::reset_signals();
                join::run(&job, &theirs, &self.process.pidfd, &theirs_control)
            }
            Fork::Parent { pid, pidfd } => Process::new(pid, pidfd),
        };
        drop((theirs, theirs_control));
        let setup = entering.set_up(&control);
        // It has ended, after it has started the command.
        entering.wait()?;
        let (Ready { command, terminal, .. }, failure) = setup?;
        let mut process = command.map(|pidfd| Ok(Process::new(pid_of(&pidfd)?, pidfd))).transpose()?;
        match (failure, process.take()) {
            (Some(failure), mut process) => {
                process.iter_mut().for_each(Process::end);
                Err(failure)
            }
            (None, Some(process)) => Ok(Companion { process, terminal }),
            (None, None) => Err(lost("ended before it had entered the sandbox")),
        }
    }
}

impl Companion {
    /// Becomes readable when the command is gone.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.process.pidfd.as_fd()
    }

    /// The number of the command among the processes of the host.
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// Sends a signal to the command.
    pub fn signal(&self, signal: i32) {
        self.process.signal(signal);
    }

    /// The terminal of a command that was started with [`Io::Terminal`], once.
    pub fn take_terminal(&mut self) -> Option<Terminal> {
        self.terminal.take()
    }

    /// Waits for the end of the command; does not wait when [`Self::descriptor`] is readable.
    ///
    /// # Errors
    ///
    /// When somebody else has waited for the process.
    pub fn reap(mut self) -> Result<Exit, SandboxError> {
        Ok(self.process.wait()?.0)
    }
}
