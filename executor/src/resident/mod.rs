//! A sandbox whose helper is the calling process itself.
//!
//! For a process that keeps one container and does nothing else: it has a single thread, so that it may fork, and
//! nobody needs a second process to wait for the first. What dies with it is the same: the kernel kills the command
//! when its parent is gone.

mod companion;

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::cgroup::{Account, Cgroups, Resources, no_freezer};
use crate::child::{Outcome, Terminal, Usage, upper_of};
use crate::error::{OrKernel, SandboxError};
use crate::init::{self, Around};
use crate::io::{Connected, Io, connect};
use crate::join;
use crate::kernel_files::Processes;
use crate::members::{Mounts, gather, pid_of, with_descendants};
use crate::network::{Attachment, Connection};
use crate::process::{Process, Ready};
use crate::seccomp;
use crate::sharing::{Neighbours, Whose};
use crate::spec::Spec;
use crate::stubs::Stubs;
use crate::supervisor::{NetworkSource, namespaces};
use crate::sys::{self, Fork};
use crate::uplink::Uplink;
use crate::wire::Job;
pub use companion::Companion;

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
    /// Known where nothing but this says who belongs to the sandbox: it shares the processes of others.
    mounts: Option<Mounts>,
    begin: Instant,
}

/// Starts a command as a child of this process, which must have a single thread. Returns when the program was executed.
/// Output can be received with [`Io::Files`] and [`Io::Terminal`] only: nobody would read [`Io::Pipes`].
///
/// # Errors
///
/// As those of [`crate::spawn`]; that the program cannot be executed is known here already.
pub fn reside(spec: &Spec, io: Io) -> Result<Resident, SandboxError> {
    reside_in(spec, io, None, &Neighbours::default())
}

/// The same among others: in a network that the command has joined, if there is one (the specification then says
/// [`crate::Network::Private`]), and in the namespaces of neighbours that the specification says are joined.
///
/// # Errors
///
/// Those of [`reside`]; that a neighbour has ended.
pub fn reside_in(
    spec: &Spec,
    io: Io,
    attachment: Option<&Attachment>,
    neighbours: &Neighbours,
) -> Result<Resident, SandboxError> {
    let begin = Instant::now();
    let Connected { streams, theirs, ours: _ } = connect(io)?;
    let groups = Cgroups::make(&spec.resources)?;
    let entrances = groups.as_ref().map(Cgroups::entrances).unwrap_or_default();
    let job = Job { spec: spec.clone(), filter: seccomp::filter(spec), streams, entrances };
    let upper = upper_of(&spec.rootfs)?;
    let uplink = Uplink::take(spec, attachment)?;
    let source = uplink.connection().map(source_of).transpose()?;
    let around = Around { network: source.as_ref(), neighbours };
    let (mut process, ready) = set_up(&job, theirs, &around)?;
    let (mut ready, failure) = ready;
    if let Some(command) = ready.command.take() {
        // What we have started was only on the way to it.
        process.wait()?;
        process = Process::new(pid_of(&command)?, command);
    }
    let mounts = (spec.sharing.processes != Whose::Own).then(|| Mounts::of(process.pid)).flatten();
    if let Some(failure) = failure {
        process.end();
        ready.stubs.remove(&upper);
        return Err(failure);
    }
    let Ready { stubs, processes, terminal, command: _ } = ready;
    let spec = spec.clone();
    let freezer = None;
    Ok(Resident { process, terminal, processes, spec, upper, stubs, groups, freezer, uplink, mounts, begin })
}

/// Starts the first process of the sandbox, and waits until that is complete or has failed.
fn set_up(
    job: &Job,
    theirs: Vec<OwnedFd>,
    around: &Around<'_>,
) -> Result<(Process, (Ready, Option<SandboxError>)), SandboxError> {
    let (control, theirs_control) = control()?;
    let made = namespaces(job);
    let joined = match job.spec.sharing.processes {
        Whose::Joined => around.neighbours.processes.as_ref(),
        Whose::Own | Whose::Host => None,
    };
    let forked = if joined.is_some() { 0 } else { made };
    let fork = sys::fork(forked).or_kernel(|| format!("clone3({forked:#x})"))?;
    let mut process = match fork {
        Fork::Child => {
            // What this process ignores the command does not.
            let _ = sys::reset_signals();
            match joined {
                None => init::run(job, &theirs, around, &theirs_control),
                Some(_) => join::run_among(joined, made, &theirs_control, || {
                    init::run(job, &theirs, around, &theirs_control)
                }),
            }
        }
        Fork::Parent { pid, pidfd } => Process::new(pid, pidfd),
    };
    drop((theirs, theirs_control));
    let ready = process.set_up(&control)?;
    Ok((process, ready))
}

fn control() -> Result<(OwnedFd, OwnedFd), SandboxError> {
    rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
        .or_kernel(|| String::from("socketpair(AF_UNIX, SOCK_SEQPACKET)"))
}

fn source_of(connection: &Connection) -> Result<NetworkSource, SandboxError> {
    let copy = |fd: &OwnedFd| fd.try_clone().or_kernel(|| String::from("dup(network)"));
    Ok(NetworkSource { namespace: copy(&connection.namespace)?, gate: Some(copy(&connection.gate)?) })
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

    /// How it was started.
    pub fn spec(&self) -> &Spec {
        &self.spec
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
        match &self.mounts {
            Some(mounts) => mounts.members(),
            None => with_descendants(others.iter().copied().chain([self.process.pid]).collect()),
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
        self.clear();
        let account = self.account();
        std::mem::take(&mut self.stubs).remove(&self.upper);
        self.uplink.give_back();
        let (exit, usage) = ended?;
        Ok(Outcome { exit, usage: Usage { wall: self.begin.elapsed(), ..usage }, account })
    }

    /// Ends what the command has left among the processes of others. In a pid namespace of its own the kernel has done so.
    fn clear(&mut self) {
        if let Some(mounts) = self.mounts.take() {
            mounts.clear();
        }
    }
}

impl Drop for Resident {
    fn drop(&mut self) {
        self.process.end();
        self.clear();
    }
}
