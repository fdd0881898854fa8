//! The engine's side of a switch.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use super::super::client::Connection;
use super::super::{NetworkError, OrNetwork};
use super::message::{Answer, Endpoint, Join, Request, SwitchPlan};
use crate::dispatch::SWITCH;
use crate::engine_binary;
use crate::wire::{receive, send, to_memory_file};

/// Requests that wait for a busy switch.
const BACKLOG: i32 = 128;

/// A container's place in a network. The container leaves when this is dropped, or the process ends.
#[derive(Debug)]
pub struct Attachment {
    /// What it got.
    pub endpoint: Endpoint,
    pub(crate) connection: Connection,
}

impl Attachment {
    /// The network namespace.
    pub fn namespace(&self) -> BorrowedFd<'_> {
        self.connection.namespace.as_fd()
    }
}

/// Starts the switch of a network, which listens in `directory` under `name`, and returns when it is ready. It holds the lock
/// `lock` while it decides to end: a file of its own opening, which whoever starts and joins holds locked meanwhile.
///
/// # Errors
///
/// When the kernel or the machine does not allow it.
pub fn start_switch(
    directory: BorrowedFd<'_>,
    name: &str,
    lock: &File,
    plan: &SwitchPlan,
) -> Result<(), NetworkError> {
    let listener = listen(directory, name).or_network(|| format!("bind(AF_UNIX, {name:?})"))?;
    let (control, remote) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .or_network(|| String::from("socketpair(AF_UNIX, SOCK_SEQPACKET)"))?;
    let binary = engine_binary::path()
        .map_err(|error| NetworkError::Keeper { problem: format!("has no binary: {error}") })?;
    Command::new(&binary)
        .arg0(SWITCH)
        .env_clear()
        .stdin(Stdio::from(remote))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .or_network(|| format!("posix_spawn({binary:?})"))?;
    let plan = to_memory_file(plan).or_network(|| String::from("memfd_create(plan)"))?;
    send(&control, &Answer::Ready, &[plan.as_fd(), listener.as_fd(), lock.as_fd()])
        .or_network(|| String::from("sendmsg(switch)"))?;
    match answer(&control)? {
        (Answer::Ready, _) => Ok(()),
        (Answer::Failed(error), _) => Err(error),
        _ => Err(lost()),
    }
}

/// Joins a network. A container that has a network namespace brings it, and one that runs already a pidfd, with which its place
/// ends.
///
/// `None` if nobody listens there.
///
/// # Errors
///
/// What the switch says: an address that is taken, for instance.
pub fn join(
    directory: BorrowedFd<'_>,
    name: &str,
    join: &Join,
    running: Option<(BorrowedFd<'_>, Option<BorrowedFd<'_>>)>,
) -> Result<Option<Attachment>, NetworkError> {
    let Some(control) = connect(directory, name)? else { return Ok(None) };
    let fds: Vec<BorrowedFd<'_>> =
        running.iter().flat_map(|(first, second)| [Some(*first), *second]).flatten().collect();
    match ask(&control, &Request::Join(join.clone()), &fds)? {
        None => Ok(None),
        Some((Answer::Joined(endpoint), mut fds)) => {
            let namespace = match (fds.pop(), running) {
                (Some(namespace), _) => namespace,
                (None, Some((namespace, _))) => {
                    namespace.try_clone_to_owned().or_network(|| String::from("fcntl(F_DUPFD_CLOEXEC)"))?
                }
                (None, None) => return Err(lost()),
            };
            let connection = Connection::connected(namespace, control)?;
            Ok(Some(Attachment { endpoint, connection }))
        }
        Some((Answer::Failed(error), _)) => Err(error),
        Some(_) => Err(lost()),
    }
}

/// Makes a container leave a network that it has joined. False if it is not in it.
///
/// # Errors
///
/// When the switch does not do it.
pub fn leave(directory: BorrowedFd<'_>, name: &str, container: &str) -> Result<bool, NetworkError> {
    let Some(control) = connect(directory, name)? else { return Ok(false) };
    match ask(&control, &Request::Leave { container: container.to_string() }, &[])? {
        Some((Answer::Left, _)) => Ok(true),
        Some((Answer::Failed(error), _)) => Err(error),
        _ => Ok(false),
    }
}

/// Who is in a network: nobody if nobody keeps it.
///
/// # Errors
///
/// When the switch cannot be asked.
pub fn list(directory: BorrowedFd<'_>, name: &str) -> Result<Vec<Endpoint>, NetworkError> {
    let Some(control) = connect(directory, name)? else { return Ok(Vec::new()) };
    match ask(&control, &Request::List, &[])? {
        Some((Answer::Endpoints(endpoints), _)) => Ok(endpoints),
        _ => Ok(Vec::new()),
    }
}

/// The user namespace to which a network belongs; none if nobody keeps it.
///
/// # Errors
///
/// When the switch cannot be asked.
pub fn owner(directory: BorrowedFd<'_>, name: &str) -> Result<Option<OwnedFd>, NetworkError> {
    let Some(control) = connect(directory, name)? else { return Ok(None) };
    match ask(&control, &Request::Owner, &[])? {
        Some((Answer::Owner, mut fds)) => Ok(fds.pop()),
        _ => Ok(None),
    }
}

fn lost() -> NetworkError {
    NetworkError::Keeper { problem: String::from("of shared networks, the switch, is gone") }
}

fn answer(control: &OwnedFd) -> Result<(Answer, Vec<OwnedFd>), NetworkError> {
    receive(control).or_network(|| String::from("recvmsg(switch)"))?.ok_or_else(lost)
}

/// `None` if it ends before it answers: it was about to, when we came.
fn ask(
    control: &OwnedFd,
    request: &Request,
    fds: &[BorrowedFd<'_>],
) -> Result<Option<(Answer, Vec<OwnedFd>)>, NetworkError> {
    let is_gone = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
    };
    match send(control, request, fds) {
        Err(error) if is_gone(&error) => return Ok(None),
        result => result.or_network(|| String::from("sendmsg(switch)"))?,
    }
    match receive(control) {
        Err(error) if is_gone(&error) => Ok(None),
        result => result.or_network(|| String::from("recvmsg(switch)")),
    }
}

/// A path of any length is short behind a descriptor; the kernel takes 107 bytes.
fn address(directory: BorrowedFd<'_>, name: &str) -> Result<SocketAddrUnix, Errno> {
    SocketAddrUnix::new(format!("/proc/self/fd/{}/{name}", directory.as_raw_fd()))
}

fn listen(directory: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    // What a switch that is gone has left: the caller holds the lock.
    match rustix::fs::unlinkat(directory, name, rustix::fs::AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error),
    }
    let socket = socket()?;
    rustix::net::bind(&socket, &address(directory, name)?)?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(socket)
}

fn socket() -> Result<OwnedFd, Errno> {
    rustix::net::socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

fn connect(directory: BorrowedFd<'_>, name: &str) -> Result<Option<OwnedFd>, NetworkError> {
    let call = || format!("connect(AF_UNIX, {name:?})");
    let control = socket().or_network(call)?;
    match rustix::net::connect(&control, &address(directory, name).or_network(call)?) {
        Ok(()) => Ok(Some(control)),
        Err(Errno::NOENT | Errno::CONNREFUSED) => Ok(None),
        Err(error) => Err(error).or_network(call),
    }
}
