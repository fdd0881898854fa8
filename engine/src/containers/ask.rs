//! Finds the monitor of a container, or starts one, and asks it for something.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::net::{AddressFamily, SocketFlags, SocketType};

use super::error::ContainerError;
use super::home::Home;
use super::monitor::{MONITOR, WITH_NETWORK, WITHOUT_NETWORK};
use super::session::{Session, monitor_error};
use super::wire::{self, Kind, Refusal, Reply, Request};

/// How long a monitor may take between two states in which it can be talked to.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts to talk to it.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

/// A monitor that does not know its container yet. Dropped, it ends.
#[derive(Debug)]
pub(super) struct NewMonitor {
    socket: UnixStream,
}

impl NewMonitor {
    /// Starts a monitor, which prepares the private network at once if its container will want one.
    /// The store is told for those who look at a list of processes.
    pub(super) fn start(store: &Path, network: graph::Network) -> Result<Self, ContainerError> {
        let call = |errno: rustix::io::Errno| monitor_error("", &format!("cannot be started: {errno}"));
        let (ours, theirs) =
            rustix::net::socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)
                .map_err(call)?;
        let word = if network == graph::Network::Default { WITH_NETWORK } else { WITHOUT_NETWORK };
        // Never waited for: it outlives us, or ends when we do.
        drop(executor::start_again(MONITOR, &[word.as_ref(), store.as_os_str()], theirs)?);
        Ok(Self { socket: ours.into() })
    }

    /// Gives it its container, and a first request.
    fn adopt(mut self, home: &Home, request: &Request) -> Result<(Session, Option<Reply>), ContainerError> {
        let path = home.path.to_str().map(str::as_bytes);
        let path = path.ok_or_else(|| monitor_error(&home.id, "cannot be told a path that is no UTF-8"))?;
        let lost = |error: io::Error| monitor_error(&home.id, &format!("cannot be told anything: {error}"));
        let mut bytes = wire::frame(Kind::Request, path);
        bytes.extend(wire::message(Kind::Request, request));
        io::Write::write_all(&mut self.socket, &bytes).map_err(lost)?;
        let mut session = Session::new(&home.id, self.socket).map_err(lost)?;
        let reply = session.reply()?;
        Ok((session, reply))
    }
}

/// Asks the monitor of a container; none if it has none.
pub(super) fn ask(home: &Home, request: &Request) -> Result<Option<(Session, Reply)>, ContainerError> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Some(mut session) = connect(home)?
            && session.writer().request(request).is_ok()
            && let Some(reply) = session.reply()?
        {
            return Ok(Some((session, reply)));
        }
        // It may have ended in this moment, or not have begun to listen.
        if home.claim()?.is_some() {
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
    Err(monitor_error(&home.id, "does not answer"))
}

/// The root directory of a container that runs; none of one that does not.
pub(super) fn ask_for_root(home: &Home) -> Result<Option<OwnedFd>, ContainerError> {
    match ask_for_descriptor(home, &Request::Root)? {
        None | Some((Reply::Refused(Refusal::NotRunning), _)) => Ok(None),
        Some((Reply::Done, Some(root))) => Ok(Some(root)),
        Some((reply, _)) => Err(monitor_error(&home.id, &reply.problem())),
    }
}

/// Asks the monitor of a container for something that is a descriptor; none if it has none.
pub(super) fn ask_for_descriptor(
    home: &Home,
    request: &Request,
) -> Result<Option<(Reply, Option<OwnedFd>)>, ContainerError> {
    let begin = Instant::now();
    while begin.elapsed() < PATIENCE {
        if let Some(mut session) = connect(home)?
            && session.writer().request(request).is_ok()
            && let Some(answer) = session.reply_with()?
        {
            return Ok(Some(answer));
        }
        if home.claim()?.is_some() {
            return Ok(None);
        }
        std::thread::sleep(PAUSE);
    }
    Err(monitor_error(&home.id, "does not answer"))
}

/// Asks the monitor of a container for a start; one is started if it has none.
pub(super) fn ask_to_start(
    home: &Home,
    monitor: Option<NewMonitor>,
    network: graph::Network,
    request: &Request,
) -> Result<(Session, Reply), ContainerError> {
    let begin = Instant::now();
    let mut monitor = monitor;
    while begin.elapsed() < PATIENCE {
        if monitor.is_none()
            && let Some((session, reply)) = ask(home, request)?
        {
            return Ok((session, reply));
        }
        let new = monitor.take().map_or_else(|| NewMonitor::start(home.root(), network), Ok)?;
        match new.adopt(home, request)? {
            (_, None) => return Err(monitor_error(&home.id, "ended before it had started anything")),
            // Somebody else was faster.
            (_, Some(Reply::Refused(Refusal::Busy))) => {}
            (session, Some(reply)) => return Ok((session, reply)),
        }
        std::thread::sleep(PAUSE);
    }
    Err(monitor_error(&home.id, "does not answer"))
}

/// The user namespace of a container's monitor; none if it has none, or is another user's.
pub(super) fn user_namespace(home: &Home) -> Option<OwnedFd> {
    let session = connect(home).ok()??;
    let monitor = rustix::net::sockopt::socket_peercred(session.socket()).ok()?.pid;
    let path = format!("/proc/{}/ns/user", monitor.as_raw_pid());
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).ok()
}

fn connect(home: &Home) -> Result<Option<Session>, ContainerError> {
    let (_directory, path) = home.socket()?;
    match UnixStream::connect(&path) {
        Ok(socket) => Session::new(&home.id, socket)
            .map(Some)
            .map_err(|error| monitor_error(&home.id, &format!("cannot be talked to: {error}"))),
        Err(_) => Ok(None),
    }
}
