//! One more process in a sandbox that is there already: it enters, gives up privileges, and becomes the command.

use std::convert::Infallible;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::sched::CloneFlags;
use rustix::fs::{CWD, Mode, OFlags};
use rustix::process::DumpableBehavior;

use crate::command::Command;
use crate::cwd::{Missing, enter};
use crate::devices::Terminal;
use crate::error::{OrKernel, SandboxError};
use crate::init::{EXIT_SETUP, connect, enter_groups, join_keyring};
use crate::kernel_files::Processes;
use crate::landlock::keep_in_root;
use crate::privileges::{check_rlimits, die_with_parent, finish, reduce};
use crate::sharing::Whose;
use crate::spec::{Network, Spec, WindowSize};
use crate::stubs::Stubs;
use crate::sys::{self, Fork};
use crate::user;
use crate::wire::{Job, Report, Streams, report_failure, send};

/// Runs in a child of the process that has the sandbox, and never returns. `container` is a pidfd of the sandbox's first
/// process.
///
/// Who enters a pid namespace does not come back, and does not enter it himself: his next child does. So this process starts
/// one, as a child of its own parent, tells about it, and ends.
pub(crate) fn run(job: &Job, standard: &[OwnedFd], container: &OwnedFd, control: &OwnedFd) -> ! {
    // The host's is where we are, and where an ordinary user may not go.
    let processes = (job.spec.sharing.processes != Whose::Host).then_some(container);
    run_among(processes, 0, control, || become_command(job, standard, container, control))
}

/// Lets a new process in new namespaces do something among the processes of another sandbox, and ends.
pub(crate) fn run_among(
    processes: Option<&OwnedFd>,
    namespaces: u64,
    control: &OwnedFd,
    does: impl FnOnce() -> Infallible,
) -> ! {
    match fork_among(processes, namespaces) {
        Ok(Fork::Child) => match does() {},
        Ok(Fork::Parent { pid: _, pidfd }) => {
            let told = send(control, &Report::Started, &[pidfd.as_fd()]);
            std::process::exit(told.map_or(EXIT_SETUP, |()| 0));
        }
        Err(error) => {
            let _ = report_failure(control, error);
            std::process::exit(EXIT_SETUP);
        }
    }
}

fn fork_among(processes: Option<&OwnedFd>, namespaces: u64) -> Result<Fork, SandboxError> {
    // Until it has executed its program the new process cannot be looked into from inside: it begins with what we know.
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .or_kernel(|| String::from("prctl(PR_SET_DUMPABLE, 0)"))?;
    if let Some(processes) = processes {
        nix::sched::setns(processes, CloneFlags::CLONE_NEWPID)
            .or_kernel(|| String::from("setns(CLONE_NEWPID)"))?;
    }
    let flags = libc::CLONE_PARENT as u64 | namespaces;
    sys::fork(flags).or_kernel(|| format!("clone3({flags:#x})"))
}

/// In the pid namespace of the sandbox.
fn become_command(job: &Job, standard: &[OwnedFd], container: &OwnedFd, control: &OwnedFd) -> Infallible {
    let error = match prepare(job, standard, container, control) {
        Ok(command) => command.execute(),
        Err(error) => error,
    };
    let code = error.exit_code().unwrap_or(EXIT_SETUP);
    // A filter may refuse to say more.
    let told = report_failure(control, error);
    std::process::exit(told.map_or(code, |()| EXIT_SETUP));
}

fn prepare(
    job: &Job,
    standard: &[OwnedFd],
    container: &OwnedFd,
    control: &OwnedFd,
) -> Result<Command, SandboxError> {
    let Job { spec, filter, streams, entrances } = job;
    die_with_parent()?;
    if spec.argv.is_empty() {
        return Err(SandboxError::NoCommand);
    }
    check_rlimits(&spec.rlimits)?;
    enter_groups(entrances)?;
    let namespaces = namespaces(spec);
    nix::sched::setns(container, namespaces).or_kernel(|| format!("setns(container, {namespaces:?})"))?;
    rustix::process::umask(Mode::empty());
    rustix::process::setsid().or_kernel(|| String::from("setsid()"))?;
    join_keyring(spec)?;
    let terminal = match streams {
        Streams::Terminal(size) => Some(open_terminal(*size)?),
        Streams::Own | Streams::Foreign => None,
    };
    let identity = user::resolve(&spec.user, &spec.groups)?;
    let command = Command::new(spec, &identity.home)?;
    let owner = (*streams != Streams::Foreign).then_some(identity.uid);
    connect(standard, terminal.as_ref(), owner)?;
    enter(&spec.cwd, Missing::Refuse)?;
    rustix::process::umask(Mode::from_raw_mode(spec.umask));
    sys::close_on_exec_from(3).or_kernel(|| String::from("close_range(3, CLOEXEC)"))?;
    keep_in_root(spec)?;
    reduce(spec, filter, &identity)?;
    let ours: Vec<BorrowedFd<'_>> = terminal.iter().map(|terminal| terminal.master.as_fd()).collect();
    let ready = Report::Ready {
        stubs: Stubs::default(),
        listeners: 0,
        is_on_demand: false,
        processes: Processes::default(),
    };
    send(control, &ready, &ours).or_kernel(|| String::from("sendmsg(control, Ready)"))?;
    finish(spec, filter)?;
    Ok(command)
}

/// The namespaces to enter; that of the processes was entered before the fork. The host's network is no other one.
fn namespaces(spec: &Spec) -> CloneFlags {
    let own = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP | spec.sharing.to_join();
    if spec.network == Network::Host { own } else { own | CloneFlags::CLONE_NEWNET }
}

/// A terminal of the container's own devpts.
fn open_terminal(size: WindowSize) -> Result<Terminal, SandboxError> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let pts = rustix::fs::openat(CWD, c"/dev/pts", flags, Mode::empty())
        .or_kernel(|| String::from("open(\"/dev/pts\")"))?;
    Ok(Terminal::open(&pts, size)?.0)
}
