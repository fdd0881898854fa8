//! The engine's side: one keeper for the process, and the namespaces that wait for a sandbox.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rustix::net::{AddressFamily, SocketFlags, SocketType};
use rustix::pipe::PipeFlags;

use super::keeper::{News, Request};
use super::quiet::is_quiet;
use super::unconnected::Unconnected;
use super::{NetworkError, OrNetwork, PrivateNetwork};
use crate::dispatch::NETWORK;
use crate::engine_binary;
use crate::wire::{receive, send};

/// Namespaces that are kept for later sandboxes. More are only in use at the same time.
const IDLE_MAX: usize = 8;

/// Most of the reason why a network cannot be connected.
const REASON_BYTES_MAX: usize = 4096;

static KEEPER: Mutex<State> = Mutex::new(State::None);

/// What this process knows of its keeper.
enum State {
    None,
    /// It has not said yet whether there is a network.
    Starting(Keeper),
    Ready(Keeper, PrivateNetwork),
    /// There is none on this machine.
    Impossible(NetworkError),
}

struct Keeper {
    control: OwnedFd,
    /// Never waited for: it ends after us.
    _process: Child,
    idle: Vec<Connection>,
    /// Namespaces that were asked for and have not come.
    ordered: usize,
}

/// A network namespace that is, or is about to be, connected. Closing it lets it go.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) namespace: OwnedFd,
    /// A pipe that ends when the namespace is connected, after the reason if it cannot be.
    pub(crate) gate: OwnedFd,
    /// A socket for questions about it; none if it is for one sandbox only.
    diagnosis: Option<OwnedFd>,
    /// Keeps the process that connects it.
    _lifeline: Option<OwnedFd>,
}

/// Starts to set up the private network, and a namespace for the next sandbox, without waiting for either.
///
/// Not before [`crate::become_root`]: what is made stays in the namespaces in which it began.
///
/// # Errors
///
/// When no process can be started.
pub fn prepare_network() -> Result<(), NetworkError> {
    let mut state = state();
    match &mut *state {
        State::None => *state = State::Starting(Keeper::start(Request::Namespace, &[])?),
        State::Ready(keeper, _) if keeper.idle.is_empty() && keeper.ordered == 0 => keeper.order()?,
        State::Starting(_) | State::Ready(..) | State::Impossible(_) => {}
    }
    Ok(())
}

/// What the private network of this process is. Waits until that is known; later calls know at once.
///
/// # Errors
///
/// When this machine allows none: then the error says why, of each way.
pub fn private_network() -> Result<PrivateNetwork, NetworkError> {
    prepare_network()?;
    let mut state = state();
    settle(&mut state)?;
    match &*state {
        State::Ready(_, network) => Ok(network.clone()),
        State::Impossible(error) => Err(error.clone()),
        State::None | State::Starting(_) => unreachable!("settled is one or the other"),
    }
}

/// A namespace for one sandbox.
pub(crate) fn take() -> Result<Connection, NetworkError> {
    private_network()?;
    let mut state = state();
    let State::Ready(keeper, _) = &mut *state else { return Err(lost()) };
    let taken = keeper.take();
    if taken.is_err() {
        // The next sandbox gets another keeper.
        *state = State::None;
    }
    taken
}

/// Connects a namespace that there is already, and waits until it is.
pub(crate) fn connect(namespace: &Unconnected) -> Result<Connection, NetworkError> {
    let connection = {
        let mut state = state();
        let connected = order_and_wait(&mut state, namespace);
        if connected.is_err() && !matches!(*state, State::Impossible(_)) {
            // The next sandbox gets another keeper.
            *state = State::None;
        }
        connected?
    };
    wait_for_connection(&connection.gate)?;
    Ok(connection)
}

fn order_and_wait(state: &mut State, namespace: &Unconnected) -> Result<Connection, NetworkError> {
    let (request, fds) = (Request::Connect { pair: namespace.pair }, namespace.descriptors());
    match state {
        State::None => *state = State::Starting(Keeper::start(request, &fds)?),
        State::Starting(keeper) | State::Ready(keeper, _) => keeper.ask(request, &fds)?,
        State::Impossible(error) => return Err(error.clone()),
    }
    settle(state)?;
    match state {
        State::Ready(keeper, _) => keeper.connected(),
        State::Impossible(error) => Err(error.clone()),
        State::None | State::Starting(_) => unreachable!("settled is one or the other"),
    }
}

/// What the private network of this process is, if that is known by now.
pub fn known_private_network() -> Option<PrivateNetwork> {
    match &*state() {
        State::Ready(_, network) => Some(network.clone()),
        _ => None,
    }
}

/// Whether a namespace waits for its next sandbox.
pub fn has_idle_network() -> bool {
    matches!(&*state(), State::Ready(keeper, _) if !keeper.idle.is_empty())
}

/// Waits at a gate until the network is connected.
pub(crate) fn wait_for_connection(gate: &OwnedFd) -> Result<(), NetworkError> {
    let mut reason = vec![0; REASON_BYTES_MAX];
    let length = rustix::io::retry_on_intr(|| rustix::io::read(gate, &mut reason))
        .or_network(|| String::from("read(gate of the network)"))?;
    if length == 0 {
        return Ok(());
    }
    let problem = format!("cannot connect it: {}", String::from_utf8_lossy(&reason[..length]));
    Err(NetworkError::Keeper { problem })
}

fn state() -> MutexGuard<'static, State> {
    KEEPER.lock().unwrap_or_else(PoisonError::into_inner)
}

fn lost() -> NetworkError {
    NetworkError::Keeper { problem: String::from("is gone") }
}

/// Waits for the first word of a keeper that has said nothing yet.
fn settle(state: &mut State) -> Result<(), NetworkError> {
    let State::Starting(keeper) = state else { return Ok(()) };
    let news = keeper.receive();
    *state = match (news, std::mem::replace(state, State::None)) {
        (Ok((News::Ready(network), _)), State::Starting(keeper)) => State::Ready(keeper, network),
        (Ok((News::Failed(error), _)) | Err(error), _) => State::Impossible(error),
        (Ok((News::Namespace, _)) | Ok((News::Ready(_), _)), _) => State::Impossible(lost()),
    };
    Ok(())
}

impl Keeper {
    fn start(first: Request, fds: &[BorrowedFd<'_>]) -> Result<Self, NetworkError> {
        let (control, remote) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .or_network(|| String::from("socketpair(AF_UNIX, SOCK_SEQPACKET)"))?;
        let binary = engine_binary::path()
            .map_err(|error| NetworkError::Keeper { problem: format!("has no binary: {error}") })?;
        let process = Command::new(&binary)
            .arg0(NETWORK)
            .env_clear()
            .stdin(Stdio::from(remote))
            // It outlives us, and must not hold open what somebody reads from us.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .or_network(|| format!("posix_spawn({binary:?})"))?;
        let mut keeper = Self { control, _process: process, idle: Vec::new(), ordered: 0 };
        keeper.ask(first, fds)?;
        Ok(keeper)
    }

    fn order(&mut self) -> Result<(), NetworkError> {
        self.ask(Request::Namespace, &[])
    }

    fn ask(&mut self, request: Request, fds: &[BorrowedFd<'_>]) -> Result<(), NetworkError> {
        send(&self.control, &request, fds).or_network(|| String::from("sendmsg(keeper)"))?;
        if matches!(request, Request::Namespace) {
            self.ordered += 1;
        }
        Ok(())
    }

    /// What the last request wanted to be connected. What was asked for before comes before, and waits for others.
    fn connected(&mut self) -> Result<Connection, NetworkError> {
        for _ in 0..std::mem::take(&mut self.ordered) {
            let earlier = self.next()?;
            self.idle.push(earlier);
        }
        self.next()
    }

    fn take(&mut self) -> Result<Connection, NetworkError> {
        if let Some(idle) = self.idle.pop() {
            return Ok(idle);
        }
        if self.ordered == 0 {
            self.order()?;
        }
        self.ordered -= 1;
        self.next()
    }

    fn next(&self) -> Result<Connection, NetworkError> {
        match self.receive()? {
            (News::Namespace, fds) => Connection::new(fds).ok_or_else(lost),
            (News::Failed(error), _) => Err(error),
            (News::Ready(_), _) => Err(lost()),
        }
    }

    fn receive(&self) -> Result<(News, Vec<OwnedFd>), NetworkError> {
        receive(&self.control).or_network(|| String::from("recvmsg(keeper)"))?.ok_or_else(lost)
    }
}

impl Connection {
    fn new(fds: Vec<OwnedFd>) -> Option<Self> {
        let mut fds = fds.into_iter();
        let (namespace, gate, diagnosis) = (fds.next()?, fds.next()?, fds.next()?);
        Some(Self { namespace, gate, diagnosis: Some(diagnosis), _lifeline: fds.next() })
    }

    /// One that is connected already, for as long as `lifeline` is open.
    pub(super) fn connected(namespace: OwnedFd, lifeline: OwnedFd) -> Result<Self, NetworkError> {
        // A pipe without a writer: whoever waits at it need not wait.
        let (gate, _) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).or_network(|| String::from("pipe2()"))?;
        Ok(Self { namespace, gate, diagnosis: None, _lifeline: Some(lifeline) })
    }

    /// The same once more, for as long as the other one is open.
    pub(crate) fn again(&self) -> Result<Self, NetworkError> {
        let again = |fd: &OwnedFd| fd.try_clone().or_network(|| String::from("fcntl(F_DUPFD_CLOEXEC)"));
        let (namespace, gate) = (again(&self.namespace)?, again(&self.gate)?);
        Ok(Self { namespace, gate, diagnosis: None, _lifeline: None })
    }

    /// Keeps the namespace for a later sandbox, if its last one left nothing in it.
    pub(crate) fn give_back(self) {
        let Some(Ok(diagnosis)) = self.diagnosis.as_ref().map(|it| it.as_fd().try_clone_to_owned()) else {
            return;
        };
        if !is_quiet(diagnosis).unwrap_or(false) {
            return;
        }
        if let State::Ready(keeper, _) = &mut *state()
            && keeper.idle.len() < IDLE_MAX
        {
            keeper.idle.push(self);
        }
    }
}
