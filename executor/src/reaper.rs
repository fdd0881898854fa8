//! A process of ours between the caller and the command: the first one of the sandbox if an init is wanted, and always where the
//! command shares the processes of others.
//!
//! It passes signals on, buries whom nobody waits for, and ends as the command does. In a pid namespace of their own the kernel
//! then ends all others; among the processes of others this process ends its descendants itself.

use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, kill};
use nix::unistd::{Pid, getpid, getppid, setpgid};
use rustix::io::Errno;
use rustix::process::{DumpableBehavior, WaitOptions, WaitStatus};

use crate::error::{OrKernel, SandboxError};
use crate::init::Prepared;
use crate::members::parents;
use crate::sharing::Whose;
use crate::spec::Spec;
use crate::sys::{self, Fork};

/// What a shell adds to the number of the signal that ended a process.
const SIGNALLED: i32 = 128;
/// Exit code of a command of which nothing is known.
const EXIT_UNKNOWN: i32 = 125;
/// How long to wait for a descendant that may not be killed, before it is tried again.
const PAUSE: Duration = Duration::from_millis(10);

/// Signals that tell of a mistake of the process itself, and those of a terminal that must not stop us: as in tini.
const NOT_PASSED_ON: [Signal; 8] = [
    Signal::SIGFPE,
    Signal::SIGILL,
    Signal::SIGSEGV,
    Signal::SIGBUS,
    Signal::SIGABRT,
    Signal::SIGTRAP,
    Signal::SIGSYS,
    Signal::SIGTTIN,
];

/// Whether a specification wants this process.
pub(crate) fn is_wanted(spec: &Spec) -> bool {
    spec.has_init || spec.sharing.processes != Whose::Own
}

/// Starts the command and stays; the command's side returns when it cannot be executed, the other one when it cannot stay.
pub(crate) fn run(prepared: &Prepared<'_>) -> SandboxError {
    let mut signals = SigSet::all();
    NOT_PASSED_ON.into_iter().for_each(|signal| signals.remove(signal));
    let started = signals
        .thread_block()
        .or_kernel(|| String::from("rt_sigprocmask(SIG_BLOCK)"))
        .and_then(|()| sys::fork(0).or_kernel(|| String::from("clone3()")));
    match started {
        Err(error) => error,
        Ok(Fork::Child) => match isolate(prepared.has_terminal()) {
            Ok(()) => prepared.become_command(),
            Err(error) => error,
        },
        Ok(Fork::Parent { pid, pidfd: _ }) => match settle(prepared) {
            Ok(()) => keep(prepared, Pid::from_raw(pid)),
            Err(error) => error,
        },
    }
}

/// A process group of its own, which has the terminal if there is one.
fn isolate(has_terminal: bool) -> Result<(), SandboxError> {
    setpgid(Pid::from_raw(0), Pid::from_raw(0)).or_kernel(|| String::from("setpgid(0, 0)"))?;
    if has_terminal {
        // SIGTTOU is blocked, as it has to be.
        rustix::termios::tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid())
            .or_kernel(|| String::from("ioctl(terminal, TIOCSPGRP)"))?;
    }
    SigSet::empty().thread_set_mask().or_kernel(|| String::from("rt_sigprocmask(SIG_SETMASK)"))
}

/// Gives up what the command gives up, and takes charge of what the command leaves behind.
fn settle(prepared: &Prepared<'_>) -> Result<(), SandboxError> {
    prepared.reduce()?;
    // The change of user has made it readable: it still has the specification in its memory.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .or_kernel(|| String::from("prctl(PR_SET_DUMPABLE, 0)"))?;
    if prepared.spec().sharing.processes != Whose::Own {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid()))
            .or_kernel(|| String::from("prctl(PR_SET_CHILD_SUBREAPER)"))?;
    }
    Ok(())
}

/// Stays until the command has ended, or whoever wanted it.
fn keep(prepared: &Prepared<'_>, command: Pid) -> ! {
    let is_first = prepared.spec().sharing.processes == Whose::Own;
    let parent = getppid();
    if !is_first {
        // To be told, not killed: somebody has to end the others. Until this very call the kernel would have killed us.
        let signal = Some(rustix::process::Signal::TERM);
        let _ = rustix::process::set_parent_process_death_signal(signal);
    }
    // Whoever reads from the command shall see its end, and nobody what we have open.
    sys::close_from(0);
    if prepared.finish().is_err() {
        end(EXIT_UNKNOWN, is_first);
    }
    loop {
        let signal = match sys::wait_for_signal() {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            // The filter refuses to wait: an init is of no use with it.
            Err(_) => end(EXIT_UNKNOWN, is_first),
            Ok(signal) => signal,
        };
        if signal == libc::SIGCHLD {
            if let Some(code) = bury(command) {
                end(code, is_first);
            }
        } else if !is_first && getppid() != parent {
            end(EXIT_UNKNOWN, is_first);
        } else {
            // The only errors are that it is gone, or has become another user's.
            let _ = sys::kill(command.as_raw(), signal);
        }
    }
}

/// Buries all that have ended; the code of the command if it is among them.
fn bury(command: Pid) -> Option<i32> {
    let mut code = None;
    loop {
        match rustix::process::wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) if pid.as_raw_pid() == command.as_raw() => code = Some(code_of(status)),
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return code,
        }
    }
}

fn code_of(status: WaitStatus) -> i32 {
    let signalled = status.terminating_signal().map(|signal| SIGNALLED + signal);
    status.exit_status().or(signalled).unwrap_or(EXIT_UNKNOWN)
}

fn end(code: i32, is_first: bool) -> ! {
    if !is_first {
        end_descendants();
    }
    std::process::exit(code)
}

/// Kills our children until there are none: those of a child that is gone are ours.
fn end_descendants() {
    let own = getpid();
    loop {
        let children = parents().into_iter().filter(|(_, parent)| *parent == own.as_raw());
        for (child, _) in children {
            // One that has become another user's may be out of reach: then it is waited for.
            let _ = kill(Pid::from_raw(child), Signal::SIGKILL);
        }
        match rustix::process::wait(WaitOptions::NOHANG) {
            Err(Errno::CHILD) => return,
            Ok(None) => std::thread::sleep(PAUSE),
            _ => {}
        }
    }
}
