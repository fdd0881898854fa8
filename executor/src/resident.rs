//! A sandbox whose helper is the calling process itself.
//!
//! For a process that keeps one container and does nothing else: it has a single thread, so that it may fork, and
//! nobody needs a second process to wait for the first. What dies with it is the same: the kernel kills the command
//! when its parent is gone.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::cgroup::{Account, Cgroups, Resources, no_freezer};
use crate::child::{Exit, Outcome, Terminal, Usage, exit_of, lost, upper_of};
use crate::error::{OrKernel, SandboxError};
use crate::init;
use crate::io::{Connected, Io, connect};
use crate::join;
use crate::kernel_files::Processes;
use crate::network::{Attachment, Connection};
use crate::seccomp;
use crate::spec::Spec;
use crate::stubs::Stubs;
use crate::supervisor::{NetworkSource, namespaces, used};
use crate::sys::{self, Fork};
use crate::uplink::Uplink;
use crate::wire::{Job, Report, receive};

/// A command in a sandbox, a child of this process.
///
/// Dropping it kills the command with everything that it started, and waits until they are gone.
#[derive(Debug)]
pub struct Resident {
    process: Process,
    terminal: Option<Terminal>,
    processes: Processes,
    spec: Spec,
    upper: OwnedFd,
    stubs: Stubs,
    groups: Option<Cgroups>,
    /// Made when somebody wants everything to stand still: to join such a group may take the kernel 15 ms.
    freezer: Option<Cgroups>,
    uplink: Uplink,
    begin: Instant,
}

/// One more command in the sandbox of a [`Resident`]. Dropping it kills that command.
#[derive(Debug)]
pub struct Companion {
    process: Process,
    terminal: Option<Terminal>,
}

/// Starts a command as a child of this process, which must have a single thread. Returns when the program was executed.
/// Output can be received with [`Io::Files`] and [`Io::Terminal`] only: nobody would read [`Io::Pipes`].
///
/// # Errors
///
/// As those of [`crate::spawn`]; that the program cannot be executed is known here already.
pub fn reside(spec: &Spec, io: Io) -> Result<Resident, SandboxError> {
    reside_in(spec, io, None)
}

/// The same in a network that the command has joined, if there is one. The specification then says [`crate::Network::Private`].
///
/// # Errors
///
/// Those of [`reside`].
pub fn reside_in(spec: &Spec, io: Io, attachment: Option<&Attachment>) -> Result<Resident, SandboxError> {
    let begin = Instant::now();
    let Connected { streams, theirs, ours: _ } = connect(io)?;
    let groups = Cgroups::make(&spec.resources)?;
    let entrances = groups.as_ref().map(Cgroups::entrances).unwrap_or_default();
    let job = Job { spec: spec.clone(), filter: seccomp::filter(spec), streams, entrances };
    let upper = upper_of(&spec.rootfs)?;
    let uplink = Uplink::take(spec, attachment)?;
    let source = uplink.connection().map(source_of).transpose()?;
    let (control, theirs_control) = control()?;
    let namespaces = namespaces(&job);
    let fork = sys::fork(namespaces).or_kernel(|| format!("clone3({namespaces:#x})"))?;
    let mut process = match fork {
        Fork::Child => {
            // What this process ignores the command does not.
            let _ = sys::reset_signals();
            init::run(&job, &theirs, source.as_ref(), &theirs_control)
        }
        Fork::Parent { pid, pidfd } => Process::new(pid, pidfd),
    };
    drop((theirs, source, theirs_control));
    let setup = process.set_up(&control);
    let (ready, failure) = setup?;
    let Ready { stubs, processes, terminal, command: _ } = ready;
    if let Some(failure) = failure {
        process.end();
        stubs.remove(&upper);
        return Err(failure);
    }
    let spec = spec.clone();
    let freezer = None;
    Ok(Resident { process, terminal, processes, spec, upper, stubs, groups, freezer, uplink, begin })
}

/// Moves all members to groups. Whoever is started meanwhile is where its parent is: sooner or later nobody is left.
fn gather(groups: &Cgroups, members: impl Fn() -> Vec<i32>) -> Result<(), SandboxError> {
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

/// How often to look for processes that were started meanwhile.
const GATHERINGS_MAX: usize = 100;

/// All processes with their parents, see proc_pid_stat(5).
fn parents() -> Vec<(i32, i32)> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let with_parent = |pid: i32| {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name of the program, in brackets, may contain anything.
        let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
        Some((pid, parent))
    };
    numbers.filter_map(with_parent).collect()
}

/// The number of the process that a descriptor means, see pidfd_open(2).
fn pid_of(pidfd: &OwnedFd) -> Result<i32, SandboxError> {
    let path = format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd());
    let text = std::fs::read_to_string(&path).or_kernel(|| format!("read({path:?})"))?;
    let number = text.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok());
    number.ok_or_else(|| lost("started a process without a number"))
}

fn control() -> Result<(OwnedFd, OwnedFd), SandboxError> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .or_kernel(|| String::from("socketpair(AF_UNIX, SOCK_SEQPACKET)"))
}

fn source_of(connection: &Connection) -> Result<NetworkSource, SandboxError> {
    let copy = |fd: &OwnedFd| fd.try_clone().or_kernel(|| String::from("dup(network)"));
    Ok(NetworkSource { namespace: copy(&connection.namespace)?, gate: copy(&connection.gate)? })
}

impl Resident {
    /// Becomes readable when the command is gone, and everything that it started. See pidfd_open(2).
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.process.pidfd.as_fd()
    }

    /// The number of the command among the processes of the host.
    pub fn pid(&self) -> i32 {
        self.process.pid
    }

    /// Sends a signal to the command, see [`crate::Child::signal`].
    pub fn signal(&self, signal: i32) {
        self.process.signal(signal);
    }

    /// The network namespace of a command with a private network.
    pub fn network_namespace(&self) -> Option<BorrowedFd<'_>> {
        self.uplink.namespace()
    }

    /// Lets no other command have the network namespace afterwards: somebody else is in it.
    pub fn keep_network_apart(&mut self) {
        self.uplink.keep_apart();
    }

    /// Whose processes its `/proc` shows.
    pub fn processes(&self) -> Processes {
        self.processes
    }

    /// The terminal of a command that was started with [`Io::Terminal`], once.
    pub fn take_terminal(&mut self) -> Option<Terminal> {
        self.terminal.take()
    }

    /// Stops all processes of the sandbox where they are, or lets them go on. `others` are companions.
    ///
    /// # Errors
    ///
    /// When this machine has no groups that can be frozen.
    pub fn freeze(&mut self, is_frozen: bool, others: &[i32]) -> Result<(), SandboxError> {
        // In version 2 everybody is in one group for everything.
        if let Some(groups) = self.groups.as_ref().filter(|groups| groups.can_freeze()) {
            return groups.freeze(is_frozen);
        }
        if self.freezer.is_none() {
            self.freezer = Cgroups::make(&Resources { freezer: true, ..Resources::default() })?;
        }
        let freezer = self.freezer.as_ref().filter(|groups| groups.can_freeze());
        let freezer = freezer.ok_or_else(no_freezer)?;
        if is_frozen {
            gather(freezer, || self.members(others))?;
        }
        freezer.freeze(is_frozen)
    }

    /// Changes what the sandbox may use. One without a group for it gets one now. `others` are companions.
    ///
    /// # Errors
    ///
    /// A limit that the kernel refuses, or that this machine has no control groups for.
    pub fn limit(&mut self, resources: &Resources, others: &[i32]) -> Result<(), SandboxError> {
        if let Some(groups) = self.groups.as_ref().filter(|groups| groups.can_limit(resources)) {
            return groups.limit(resources);
        }
        let Some(groups) = Cgroups::make(resources)? else { return Ok(()) };
        gather(&groups, || self.members(others))?;
        // The old ones are empty, and go.
        self.groups = Some(groups);
        Ok(())
    }

    /// What was used so far, if the specification asked for the account.
    pub fn account(&self) -> Option<Account> {
        self.groups.as_ref().map(Cgroups::account)
    }

    /// The processes of the sandbox as the host numbers them. `others` are companions: together with the command they are
    /// the ancestors of all.
    pub fn members(&self, others: &[i32]) -> Vec<i32> {
        let mut members: Vec<i32> = others.iter().copied().chain([self.process.pid]).collect();
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

    /// Starts one more command in the same surroundings. Of `spec` counts what a process has of its own: arguments,
    /// environment, directory, user, capabilities, system calls and limits.
    ///
    /// # Errors
    ///
    /// As those of [`reside`].
    pub fn exec(&self, spec: &Spec, io: Io) -> Result<Companion, SandboxError> {
        let Connected { streams, theirs, ours: _ } = connect(io)?;
        let entrances = self.groups.as_ref().map(Cgroups::entrances).unwrap_or_default();
        let spec = Spec { network: self.spec.network, ..spec.clone() };
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

    /// Waits for the end of the command; does not wait when [`Self::descriptor`] is readable. The upper directory then
    /// is complete, see [`crate::Child::wait`].
    ///
    /// # Errors
    ///
    /// When somebody else has waited for the process.
    pub fn reap(mut self) -> Result<Outcome, SandboxError> {
        let ended = self.process.wait();
        let account = self.account();
        std::mem::take(&mut self.stubs).remove(&self.upper);
        self.uplink.give_back();
        let (exit, usage) = ended?;
        Ok(Outcome { exit, usage: Usage { wall: self.begin.elapsed(), ..usage }, account })
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

/// A child process, which is killed and reaped when dropped.
#[derive(Debug)]
struct Process {
    pid: i32,
    pidfd: OwnedFd,
    is_reaped: bool,
}

/// What a sandbox says of itself when it is complete.
#[derive(Default)]
struct Ready {
    stubs: Stubs,
    processes: Processes,
    terminal: Option<Terminal>,
    /// Another process that was started for the command.
    command: Option<OwnedFd>,
}

impl Process {
    fn new(pid: i32, pidfd: OwnedFd) -> Self {
        Self { pid, pidfd, is_reaped: false }
    }

    /// Waits until the program was executed, or could not be: then both close their end.
    fn set_up(&mut self, control: &OwnedFd) -> Result<(Ready, Option<SandboxError>), SandboxError> {
        let mut ready = None;
        let mut failure = None;
        let mut command = None;
        let call = || String::from("recvmsg(control)");
        while let Some((report, mut fds)) = receive(control).or_kernel(call)? {
            match report {
                Report::Ready { stubs, listeners: _, processes } => {
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

    fn signal(&self, signal: i32) {
        // The only error for our own child is that it is gone.
        let _ = sys::pidfd_send_signal(&self.pidfd, signal);
    }

    fn wait(&mut self) -> Result<(Exit, Usage), SandboxError> {
        let pid = self.pid;
        let ended = sys::wait4(pid).or_kernel(|| format!("wait4({pid})"));
        self.is_reaped = true;
        let (status, usage) = ended?;
        Ok((exit_of(status), used(&usage)))
    }

    fn end(&mut self) {
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
