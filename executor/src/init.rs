//! The first process of the sandbox: sets up its surroundings from inside, then becomes the command.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;

use nix::sched::CloneFlags;
use rustix::fs::{AtFlags, CWD, Mode, StatxFlags};
use rustix::io::Errno;
use rustix::mount::{UnmountFlags, unmount};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::process::DumpableBehavior;

use crate::command::Command;
use crate::cwd::{Missing, enter};
use crate::devices::Terminal;
use crate::error::{OrKernel, SandboxError};
use crate::groundwork::Groundwork;
use crate::kernel_files::{Processes, check_sysctls, make_read_only, mount_proc, mount_sys};
use crate::landlock::keep_in_root;
use crate::mounting::{Depth, flags, restrict};
use crate::mounts::{clone_connected, mount_etc, mount_one};
use crate::network::wait_for_connection;
use crate::privileges::{check_rlimits, die_with_parent, finish, reduce};
use crate::reaper;
use crate::rootfs::mount_root;
use crate::sharing::{Neighbours, Whose};
use crate::socket::check_sockets;
use crate::spec::{Confinement, Network, Seccomp, Spec, WindowSize};
use crate::stubs::{StubLog, Stubs};
use crate::supervisor::{NetworkSource, network, receive_job};
use crate::sys;
use crate::tree::{Tree, file_type};
use crate::user::{self, Identity};
use crate::wire::{Job, Report, Streams, report_failure, send};

/// Exit status when setting up went wrong; the report has the reason.
pub(crate) const EXIT_SETUP: i32 = 125;

/// What the first process finds beside its job.
pub(crate) struct Around<'a> {
    /// The network that is made for it.
    pub(crate) network: Option<&'a NetworkSource>,
    /// Whose namespaces it joins.
    pub(crate) neighbours: &'a Neighbours,
}

/// A sandbox that is set up, and what is left to do before the command.
pub(crate) struct Prepared<'a> {
    job: &'a Job,
    control: &'a OwnedFd,
    built: Built,
    identity: Identity,
    command: Command,
}

/// Runs as the first process in the new namespaces and never returns.
pub(crate) fn run(job: &Job, standard: &[OwnedFd], around: &Around<'_>, control: &OwnedFd) -> ! {
    match settle() {
        Ok(()) => go_on(job, standard, around, (control, None)),
        Err(error) => give_up(control, error),
    }
}

/// The same before there is a job, which comes through the socket `jobs`, and no other neighbours. Ends with the socket.
pub(crate) fn run_ahead(jobs: &OwnedFd, control: &OwnedFd) -> ! {
    if settle().is_err() {
        // Whoever sends the job finds nobody, and starts another one, which says what is wrong.
        std::process::exit(EXIT_SETUP);
    }
    // The same goes for what cannot be made now: it is tried again, and told, when there is a job.
    let groundwork = Groundwork::lay(Confinement::Ordinary).ok();
    let Ok(received) = receive_job(jobs) else { std::process::exit(EXIT_SETUP) };
    let read = received.read().and_then(|job| {
        let mut standard = received.beside;
        Ok((network(&job, &mut standard)?, job, standard))
    });
    match read {
        Ok((network, job, standard)) => {
            let around = Around { network: network.as_ref(), neighbours: &Neighbours::default() };
            go_on(&job, &standard, &around, (control, groundwork))
        }
        Err(error) => give_up(control, error),
    }
}

/// What does not depend on the job.
fn settle() -> Result<(), SandboxError> {
    die_with_parent()?;
    rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .or_kernel(|| String::from("prctl(PR_SET_DUMPABLE, 0)"))?;
    rustix::process::umask(Mode::empty());
    rustix::process::setsid().or_kernel(|| String::from("setsid()"))?;
    Ok(())
}

fn go_on(
    job: &Job,
    standard: &[OwnedFd],
    around: &Around<'_>,
    (control, groundwork): (&OwnedFd, Option<Groundwork>),
) -> ! {
    let error = match prepare(job, standard, around, (control, groundwork)) {
        Ok(prepared) if reaper::is_wanted(&job.spec) => reaper::run(&prepared),
        Ok(prepared) => prepared.become_command(),
        Err(error) => error,
    };
    give_up(control, error)
}

fn give_up(control: &OwnedFd, error: SandboxError) -> ! {
    let code = error.exit_code().unwrap_or(EXIT_SETUP);
    // A filter may refuse to say more.
    let told = report_failure(control, error);
    std::process::exit(told.map_or(code, |()| EXIT_SETUP));
}

fn prepare<'a>(
    job: &'a Job,
    standard: &[OwnedFd],
    around: &Around<'_>,
    (control, groundwork): (&'a OwnedFd, Option<Groundwork>),
) -> Result<Prepared<'a>, SandboxError> {
    let Job { spec, filter: _, streams, entrances } = job;
    if !entrances.is_empty() {
        join_groups(entrances)?;
    }
    if let Some(network) = around.network {
        nix::sched::setns(&network.namespace, CloneFlags::CLONE_NEWNET)
            .or_kernel(|| String::from("setns(CLONE_NEWNET)"))?;
    }
    check(spec)?;
    let memory = around.neighbours.join(spec)?;
    join_keyring(spec)?;
    let window = match streams {
        Streams::Terminal(size) => Some(*size),
        Streams::Own | Streams::Foreign => None,
    };
    let built = build_tree(spec, memory.as_ref(), window, groundwork)?;
    if spec.network == Network::None {
        loopback_up()?;
    }
    if !spec.hostname.is_empty() && spec.sharing.names == Whose::Own {
        name_host(&spec.hostname)?;
    }
    let identity = user::resolve(&spec.user, &spec.groups)?;
    let command = Command::new(spec, &identity.home)?;
    let owner = (*streams != Streams::Foreign).then_some(identity.uid);
    connect(standard, built.terminal.as_ref(), owner)?;
    enter(&spec.cwd, if spec.makes_cwd { Missing::Make } else { Missing::Refuse })?;
    rustix::process::umask(Mode::from_raw_mode(spec.umask));
    if let Some(gate) = around.network.and_then(|network| network.gate.as_ref()) {
        wait_for_connection(gate).map_err(SandboxError::Network)?;
    }
    sys::close_on_exec_from(3).or_kernel(|| String::from("close_range(3, CLOEXEC)"))?;
    // The last one that opens a file of ours has been: what follows works on descriptors.
    keep_in_root(spec)?;
    Ok(Prepared { job, control, built, identity, command })
}

impl Prepared<'_> {
    pub(crate) fn spec(&self) -> &Spec {
        &self.job.spec
    }

    pub(crate) fn has_terminal(&self) -> bool {
        self.built.terminal.is_some()
    }

    /// Gives up everything that the specification does not grant. The listener of a network on demand.
    pub(crate) fn reduce(&self) -> Result<Option<OwnedFd>, SandboxError> {
        reduce(&self.job.spec, &self.job.filter, &self.identity)
    }

    /// The last step of it, after which only the filter says what can be done.
    pub(crate) fn finish(&self) -> Result<(), SandboxError> {
        finish(&self.job.spec, &self.job.filter)
    }

    /// Gives up privileges, says that all is ready, and becomes the command. Returns only when that is impossible.
    pub(crate) fn become_command(&self) -> SandboxError {
        match self.reduce().and_then(|listener| self.tell(listener.as_ref())).and_then(|()| self.finish()) {
            Ok(()) => self.command.execute(),
            Err(error) => error,
        }
    }

    fn tell(&self, listener: Option<&OwnedFd>) -> Result<(), SandboxError> {
        let Built { stubs, terminal, listeners, processes } = &self.built;
        let mut ours: Vec<BorrowedFd<'_>> = listeners.iter().chain(listener).map(AsFd::as_fd).collect();
        ours.extend(terminal.iter().map(|terminal| terminal.master.as_fd()));
        let ready = Report::Ready {
            stubs: stubs.clone(),
            listeners: listeners.len(),
            is_on_demand: listener.is_some(),
            processes: *processes,
        };
        send(self.control, &ready, &ours).or_kernel(|| String::from("sendmsg(control, Ready)"))
    }
}

/// Names the host in the new namespace. In a container the profile of the container may forbid it, whoever asks: there the
/// name stays, which isolates no less.
fn name_host(name: &str) -> Result<(), SandboxError> {
    match rustix::system::sethostname(name.as_bytes()) {
        Err(Errno::PERM) => Ok(()),
        result => result.or_kernel(|| format!("sethostname({name:?})")),
    }
}

/// Joins the control groups of the sandbox before it starts anything, and makes them the root of what it sees.
fn join_groups(entrances: &[PathBuf]) -> Result<(), SandboxError> {
    enter_groups(entrances)?;
    nix::sched::unshare(CloneFlags::CLONE_NEWCGROUP).or_kernel(|| String::from("unshare(CLONE_NEWCGROUP)"))
}

/// Joins the control groups with these entrances.
pub(crate) fn enter_groups(entrances: &[PathBuf]) -> Result<(), SandboxError> {
    for entrance in entrances {
        std::fs::write(entrance, "0").or_kernel(|| format!("write({entrance:?}, \"0\")"))?;
    }
    Ok(())
}

/// What can be refused before anything is set up.
fn check(spec: &Spec) -> Result<(), SandboxError> {
    if spec.argv.is_empty() {
        return Err(SandboxError::NoCommand);
    }
    check_rlimits(&spec.rlimits)?;
    check_sockets(&spec.mounts)?;
    check_sysctls(spec)
}

/// Gives the command a session keyring of its own. Where that is impossible the host's stays attached, and the
/// filter keeps every call from it.
pub(crate) fn join_keyring(spec: &Spec) -> Result<(), SandboxError> {
    match sys::join_session_keyring() {
        Err(error) if spec.seccomp != Seccomp::Default => {
            Err(error).or_kernel(|| String::from("keyctl(JOIN_SESSION_KEYRING)"))
        }
        _ => Ok(()),
    }
}

/// What the engine gets of a tree.
struct Built {
    stubs: Stubs,
    terminal: Option<Terminal>,
    /// In the order of the sockets in the specification.
    listeners: Vec<OwnedFd>,
    processes: Processes,
}

/// Mounts everything, and leaves the host's tree behind. `memory` is the shared memory of others.
fn build_tree(
    spec: &Spec,
    memory: Option<&OwnedFd>,
    window: Option<WindowSize>,
    groundwork: Option<Groundwork>,
) -> Result<Built, SandboxError> {
    // Before the groundwork, which cuts all connections.
    let connected = clone_connected(&spec.mounts)?;
    let Groundwork { scratch, proc } = groundwork.map_or_else(|| Groundwork::lay(spec.confinement), Ok)?;
    let (root, upper) = mount_root(&scratch, spec)?;
    scratch.attach_aside(&root)?;
    let mut tree = Tree::new(root, StubLog::new(upper))?;
    let processes = mount_proc(&mut tree, spec, proc)?;
    mount_sys(&mut tree, spec.confinement)?;
    let terminal = scratch.mount_dev(&mut tree, spec, memory, window)?;
    mount_etc(&mut tree, &scratch, spec)?;
    let mut listeners = Vec::new();
    for (mount, connected) in spec.mounts.iter().zip(connected) {
        listeners.extend(mount_one(&mut tree, &scratch, mount, connected)?);
    }
    for path in &spec.read_only_paths {
        make_read_only(&tree, path)?;
    }
    for path in &spec.masked_paths {
        scratch.mask(&tree, path)?;
    }
    let (root, log) = tree.finish();
    let stubs = log.finish();
    if spec.read_only_root {
        restrict(&root, flags::READ_ONLY, Depth::One)?;
    }
    scratch.uncover_root()?;
    pivot(&root)?;
    Ok(Built { stubs, terminal, listeners, processes })
}

/// Makes `root` the root directory of this mount namespace and detaches all else, see pivot_root(2).
fn pivot(root: &OwnedFd) -> Result<(), SandboxError> {
    rustix::process::fchdir(root).or_kernel(|| String::from("fchdir(root)"))?;
    rustix::process::pivot_root(".", ".").or_kernel(|| String::from("pivot_root(\".\", \".\")"))?;
    // On top of the new root now is the old one, with all that is mounted in it.
    unmount(".", UnmountFlags::DETACH).or_kernel(|| String::from("umount2(\".\", MNT_DETACH)"))?;
    rustix::process::chdir("/").or_kernel(|| String::from("chdir(\"/\")"))?;
    if mount_id("/")? == mount_id("/..")? {
        Ok(())
    } else {
        Err(SandboxError::Helper { problem: String::from("could not leave the host's tree behind") })
    }
}

/// Which mount a path leads to. A mount left on top of the root would be what `..` means there.
fn mount_id(path: &str) -> Result<u64, SandboxError> {
    let statx = rustix::fs::statx(CWD, path, AtFlags::empty(), StatxFlags::MNT_ID)
        .or_kernel(|| format!("statx({path:?}, MNT_ID)"))?;
    Ok(statx.stx_mnt_id)
}

fn loopback_up() -> Result<(), SandboxError> {
    let call = || String::from("ioctl(\"lo\", SIOCSIFFLAGS, IFF_UP)");
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)
        .or_kernel(call)?;
    sys::interface_up(socket, c"lo").or_kernel(call)
}

/// Puts the standard streams in their places. Streams made for this process are given to its user, so that it
/// can open them again through `/dev/stdout`.
pub(crate) fn connect(
    standard: &[OwnedFd],
    terminal: Option<&Terminal>,
    owner: Option<u32>,
) -> Result<(), SandboxError> {
    if let Some(terminal) = terminal {
        let slave = &terminal.slave;
        rustix::process::ioctl_tiocsctty(slave).or_kernel(|| String::from("ioctl(terminal, TIOCSCTTY)"))?;
        return place([slave.as_fd(), slave.as_fd(), slave.as_fd()], owner);
    }
    match standard {
        [stdin, stdout, stderr] => place([stdin.as_fd(), stdout.as_fd(), stderr.as_fd()], owner),
        other => Err(SandboxError::Helper { problem: format!("received {} standard streams", other.len()) }),
    }
}

fn place(streams: [BorrowedFd<'_>; 3], owner: Option<u32>) -> Result<(), SandboxError> {
    if let Some(uid) = owner {
        for stream in streams {
            // Pipes and our own terminal only: `/dev/null` belongs to the host. Best effort, as in the reference: an
            // id that is not mapped will be refused with a better message.
            if is_private(stream) {
                let _ = rustix::fs::fchown(stream, Some(rustix::fs::Uid::from_raw(uid)), None);
            }
        }
    }
    let [stdin, stdout, stderr] = streams;
    rustix::stdio::dup2_stdin(stdin)
        .and_then(|()| rustix::stdio::dup2_stdout(stdout))
        .and_then(|()| rustix::stdio::dup2_stderr(stderr))
        .or_kernel(|| String::from("dup2(standard stream)"))
}

fn is_private(stream: BorrowedFd<'_>) -> bool {
    file_type(stream).is_ok_and(|kind| kind.is_fifo()) || rustix::termios::isatty(stream)
}
