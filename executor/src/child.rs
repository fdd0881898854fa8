//! A running sandbox as the engine sees it: spawn, signal, wait.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use crate::cgroup::{Account, Cgroups};
use crate::devices::set_window_size;
use crate::error::{OrKernel, SandboxError};
use crate::helper::{self, Helper};
use crate::io::{Connected, Io, Receiver, Stream, connect};
use crate::kernel_files::Processes;
use crate::network::Attachment;
use crate::on_demand::OnDemand;
use crate::rootfs::open_directory;
use crate::seccomp;
use crate::spec::{Rootfs, Spec, WindowSize};
use crate::stubs::Stubs;
use crate::sys;
use crate::uplink::Uplink;
use crate::wire::{Job, Report, receive};

/// Bytes of output that are read at once: the size of a pipe.
const OUTPUT_BYTES_MAX: usize = 64 << 10;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It exited with this code.
    Code(i32),
    /// A signal ended it.
    Signal(i32),
}

/// What a command used, with all its descendants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// From [`spawn`] to the end.
    pub wall: Duration,
    /// Processor time in programs.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// The most memory that one process had resident.
    pub max_rss_bytes: u64,
    /// Bytes that had to be read from block devices.
    pub read_bytes: u64,
    /// Bytes for block devices.
    pub written_bytes: u64,
}

/// The end of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Outcome {
    /// How it ended.
    pub exit: Exit,
    /// What it used.
    pub usage: Usage,
    /// What its control groups counted, if it had any.
    pub account: Option<Account>,
}

/// Starts a command in a sandbox. Returns when the sandbox is complete and the command is about to be executed.
///
/// # Errors
///
/// A specification that cannot be fulfilled, or a call that the kernel refused; nothing is left behind then.
/// That the program does not exist is found later, by [`Child::wait`].
pub fn spawn(spec: &Spec, io: Io) -> Result<Child, SandboxError> {
    spawn_in(spec, io, None)
}

/// The same in a network that the command has joined, if there is one. The specification then says [`crate::Network::Private`].
///
/// # Errors
///
/// Those of [`spawn`].
pub fn spawn_in(spec: &Spec, io: Io, attachment: Option<&Attachment>) -> Result<Child, SandboxError> {
    let begin = Instant::now();
    let Connected { streams, theirs, ours } = connect(io)?;
    if spec.resources.is_asked() {
        // Should we be killed before the job is told, the helper takes the groups away.
        helper::prepare()?;
    }
    let groups = Cgroups::make(&spec.resources)?;
    let entrances = groups.as_ref().map(Cgroups::entrances).unwrap_or_default();
    let job = Job { spec: spec.clone(), filter: seccomp::filter(spec), streams, entrances };
    let upper = upper_of(&spec.rootfs)?;
    let uplink = Uplink::take(spec, attachment)?;
    let mut fds: Vec<BorrowedFd<'_>> = theirs.iter().map(AsFd::as_fd).collect();
    fds.extend(uplink.descriptors());
    let helper = Helper::with_job(&job, &fds)?;
    // From here on only the sandbox holds the writing ends of the pipes.
    drop(theirs);
    let mut child = Child {
        helper,
        command: None,
        receiver: ours,
        terminal: None,
        listeners: Vec::new(),
        upper,
        stubs: Stubs::default(),
        groups,
        uplink,
        on_demand: None,
        processes: Processes::default(),
        begin,
        progress: Progress::default(),
    };
    // The two reports come from two processes, in any order.
    while !child.is_running() && !child.progress.is_over {
        child.receive_report()?;
    }
    match child.progress.failure.take() {
        None if child.is_running() => Ok(child),
        None => Err(lost("ended before it had set up the sandbox")),
        Some(error) => {
            // Whatever was set up is gone when the helper is.
            drop(child);
            Err(error)
        }
    }
}

/// Where changes of the tree end up.
pub(crate) fn upper_of(rootfs: &Rootfs) -> Result<OwnedFd, SandboxError> {
    match rootfs {
        Rootfs::Overlay { upper, .. } => open_directory(upper),
        Rootfs::Directory(directory) => open_directory(directory),
    }
}

pub(crate) fn lost(problem: &str) -> SandboxError {
    SandboxError::Helper { problem: problem.to_string() }
}

#[derive(Default)]
struct Progress {
    is_ready: bool,
    failure: Option<SandboxError>,
    exited: Option<(i32, Usage)>,
    /// The helper has nothing more to say.
    is_over: bool,
}

/// A command in a sandbox.
///
/// Dropping it kills the command with everything that it started, and waits until they are gone.
pub struct Child {
    helper: Helper,
    command: Option<Arc<OwnedFd>>,
    receiver: Option<Receiver>,
    terminal: Option<Terminal>,
    listeners: Vec<OwnedFd>,
    upper: OwnedFd,
    stubs: Stubs,
    /// Removed after the helper, and with it the command, is gone.
    groups: Option<Cgroups>,
    uplink: Uplink,
    on_demand: Option<OnDemand>,
    /// Whose processes it can see.
    processes: Processes,
    begin: Instant,
    progress: Progress,
}

impl Child {
    /// Something that can signal the command from another thread, while this one waits.
    pub fn handle(&self) -> Handle {
        Handle { command: self.command.clone() }
    }

    /// Sends a signal to the command. As the first process of its pid namespace it only gets those that it handles,
    /// SIGKILL and SIGSTOP.
    pub fn signal(&self, signal: i32) {
        self.handle().signal(signal);
    }

    /// Kills the command and everything that it started.
    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// The network namespace of a command that has one with a way out.
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

    /// The terminal of a command that was started with [`Io::Terminal`]; `None` for any other, and the second time.
    pub fn take_terminal(&mut self) -> Option<Terminal> {
        self.terminal.take()
    }

    /// The sockets of [`crate::Mount::Socket`], in the order of the specification, for accept(2); none the second time.
    /// They outlive the command: whoever accepts has to be told that it is gone.
    pub fn take_listeners(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.listeners)
    }

    /// Waits until the command and everything that it started is gone, and passes its output on meanwhile.
    ///
    /// The upper directory then is complete: the overlay is unmounted, and mount points that the image lacked are
    /// taken away again.
    ///
    /// # Errors
    ///
    /// [`SandboxError::NotFound`], [`SandboxError::NoInterpreter`] or [`SandboxError::NotExecutable`] if the program could not be executed; a
    /// helper that was killed.
    pub fn wait(self) -> Result<Outcome, SandboxError> {
        self.wait_for_command().map(|(outcome, _)| outcome)
    }

    /// The same without waiting for the kernel to take the mounts of the sandbox apart. Nobody can change the upper directory
    /// any more, but it must not be mounted anew before the remains are dropped.
    ///
    /// # Errors
    ///
    /// Those of [`Child::wait`].
    pub fn wait_for_command(mut self) -> Result<(Outcome, Remains), SandboxError> {
        while !self.progress.is_over {
            self.step()?;
        }
        self.read_output()?;
        let account = self.groups.as_ref().map(Cgroups::account);
        if self.progress.exited.is_none() {
            let status = self.helper.dismiss()?;
            if !status.success() {
                return Err(lost(&format!("ended with {status}")));
            }
        }
        self.helper.let_go();
        self.stubs.remove(&self.upper);
        if let Some(failure) = self.progress.failure.take() {
            return Err(failure);
        }
        self.uplink.give_back();
        let (status, usage) = self.progress.exited.ok_or_else(|| lost("ended without a report"))?;
        let remains = Remains { helper: self.helper, groups: self.groups };
        Ok((Outcome { exit: exit_of(status), usage, account }, remains))
    }

    /// Kills a command whose helper is gone, and waits until it is. It is not our child; a pidfd works for any.
    fn end_command(&self) -> Result<(), SandboxError> {
        let Some(command) = &self.command else { return Ok(()) };
        self.kill();
        let mut fds = [PollFd::new(command, PollFlags::IN)];
        rustix::io::retry_on_intr(|| poll(&mut fds, None)).or_kernel(|| String::from("poll(pidfd)"))?;
        Ok(())
    }

    fn is_running(&self) -> bool {
        self.progress.is_ready && self.command.is_some()
    }

    /// Waits for anything to happen, and handles it.
    fn step(&mut self) -> Result<(), SandboxError> {
        let pipes = self.receiver.as_ref().map_or(&[][..], |receiver| receiver.pipes.as_slice());
        let mut fds = vec![PollFd::new(&self.helper.control, PollFlags::IN)];
        fds.extend(pipes.iter().map(|(_, pipe)| PollFd::new(pipe, PollFlags::IN)));
        let before_sockets = fds.len();
        let sockets = self.on_demand.as_ref().map(OnDemand::listener);
        fds.extend(sockets.iter().map(|listener| PollFd::new(listener, PollFlags::IN)));
        match poll(&mut fds, None) {
            Err(Errno::INTR) => return Ok(()),
            result => result.or_kernel(|| String::from("poll(control, output)"))?,
        };
        let has_report = !fds[0].revents().is_empty();
        let has_output = fds[1..before_sockets].iter().any(|fd| !fd.revents().is_empty());
        let sockets = fds.get(before_sockets).map_or(PollFlags::empty(), |fd| fd.revents());
        if has_output {
            self.read_output()?;
        }
        self.answer(sockets)?;
        if has_report { self.receive_report() } else { Ok(()) }
    }

    /// A command with a network on demand makes a socket, or cannot make any more.
    fn answer(&mut self, sockets: PollFlags) -> Result<(), SandboxError> {
        let Some(on_demand) = &self.on_demand else { return Ok(()) };
        if sockets.contains(PollFlags::IN) {
            on_demand.answer(&mut self.uplink)?;
        } else if !sockets.is_empty() {
            self.on_demand = None;
        }
        Ok(())
    }

    fn read_output(&mut self) -> Result<(), SandboxError> {
        match &mut self.receiver {
            Some(receiver) => receiver.read(),
            None => Ok(()),
        }
    }

    fn receive_report(&mut self) -> Result<(), SandboxError> {
        let report = receive(&self.helper.control).or_kernel(|| String::from("recvmsg(control)"))?;
        let Some((report, mut fds)) = report else {
            if self.progress.exited.is_none() {
                // The helper was killed, and may have left the command.
                self.end_command()?;
            }
            self.progress.is_over = true;
            return Ok(());
        };
        match report {
            Report::Started => self.command = fds.pop().map(Arc::new),
            Report::Ready { stubs, listeners, is_on_demand, processes } => {
                (self.stubs, self.processes) = (stubs, processes);
                self.listeners = fds.drain(..listeners.min(fds.len())).collect();
                if is_on_demand && !fds.is_empty() {
                    self.on_demand = Some(OnDemand::new(fds.remove(0)));
                }
                self.terminal = fds.pop().map(|master| Terminal { master });
                self.progress.is_ready = true;
            }
            Report::Failed(error) => {
                self.progress.failure.get_or_insert(error);
                self.progress.is_over |= self.command.is_none();
            }
            Report::Exited { status, usage } => {
                self.progress.exited = Some((status, Usage { wall: self.begin.elapsed(), ..usage }));
                self.progress.is_over = true;
            }
        }
        Ok(())
    }
}

/// What is left of a sandbox whose command is gone: its mounts, and its control groups. Dropping it waits until they are gone too.
pub struct Remains {
    // Dropped in this order.
    helper: Helper,
    groups: Option<Cgroups>,
}

impl Remains {
    /// Whether within `patience`, or ever, all is gone but a process that tidies up and ends by itself. Control groups, where there
    /// are any, go only when this is dropped.
    pub fn are_only_a_process(&self, patience: Option<Duration>) -> bool {
        self.groups.is_none() && self.helper.has_unmounted(patience)
    }
}

/// What a wait status means, see wait(2).
pub(crate) fn exit_of(status: i32) -> Exit {
    let status = ExitStatus::from_raw(status);
    match (status.code(), status.signal()) {
        (Some(code), _) => Exit::Code(code),
        (None, signal) => Exit::Signal(signal.unwrap_or(libc::SIGKILL)),
    }
}

impl Receiver {
    /// Passes on what has arrived, without waiting. A pipe at its end is closed.
    fn read(&mut self) -> Result<(), SandboxError> {
        let Self { output, pipes } = self;
        // Its pages are touched only as far as there is output.
        let mut buffer = Vec::with_capacity(OUTPUT_BYTES_MAX);
        let mut open = Vec::with_capacity(pipes.len());
        for (stream, pipe) in pipes.drain(..) {
            if pass_on(stream, &pipe, &mut buffer, output)? {
                open.push((stream, pipe));
            }
        }
        *pipes = open;
        Ok(())
    }
}

/// Reads until nothing more has arrived; false at the end of the pipe.
fn pass_on(
    stream: Stream,
    pipe: &OwnedFd,
    buffer: &mut Vec<u8>,
    output: &mut crate::io::Output,
) -> Result<bool, SandboxError> {
    loop {
        buffer.clear();
        match rustix::io::read(pipe, spare_capacity(buffer)) {
            Ok(0) => return Ok(false),
            Ok(_) => output(stream, buffer),
            Err(Errno::AGAIN) => return Ok(true),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno).or_kernel(|| format!("read({stream:?} of the command)")),
        }
    }
}

/// Signals a command from any thread. Once the command is gone it does nothing: it never means another process.
#[derive(Debug, Clone)]
pub struct Handle {
    command: Option<Arc<OwnedFd>>,
}

impl Handle {
    /// Sends a signal to the command, see [`Child::signal`].
    pub fn signal(&self, signal: i32) {
        if let Some(command) = &self.command {
            // The only error for our own child is that it is gone.
            let _ = sys::pidfd_send_signal(command.as_fd(), signal);
        }
    }

    /// Kills the command and everything that it started.
    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }
}

/// Our end of a container's terminal. Reading fails with `EIO` when the command is gone.
#[derive(Debug)]
pub struct Terminal {
    master: OwnedFd,
}

impl Terminal {
    /// Tells the programs in the terminal its new size.
    ///
    /// # Errors
    ///
    /// What the kernel says, see ioctl_tty(2).
    pub fn resize(&self, size: WindowSize) -> Result<(), SandboxError> {
        set_window_size(&self.master, size).or_kernel(|| format!("ioctl(terminal, TIOCSWINSZ, {size:?})"))
    }
}

impl AsFd for Terminal {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.master.as_fd()
    }
}

impl From<OwnedFd> for Terminal {
    fn from(master: OwnedFd) -> Self {
        Self { master }
    }
}

impl From<Terminal> for OwnedFd {
    fn from(terminal: Terminal) -> Self {
        terminal.master
    }
}
