//! A client's connection to the monitor of a container.

use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use executor::{Stream, WindowSize};
use rustix::fs::{Mode, OFlags};
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SocketFlags, SocketType, recvmsg,
};

use super::error::ContainerError;
use super::home::Home;
use super::monitor::{MONITOR, WITH_NETWORK, WITHOUT_NETWORK};
use super::wire::{self, End, Kind, Refusal, Reply, Request};

/// How long a monitor may take between two states in which it can be talked to.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts to talk to it.
pub(super) const PAUSE: Duration = Duration::from_millis(5);
/// What is typed travels in pieces of this size.
const INPUT_BYTES_MAX: usize = 64 << 10;

/// What happens on a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEvent {
    /// The command has written something.
    Output(Stream, Vec<u8>),
    /// The command has ended with this code. Nothing follows.
    Ended(i32),
    /// The container goes on without us, as was asked for. Nothing follows.
    Detached,
}

/// A connection to the monitor of a container. Dropping it detaches; the container goes on.
#[derive(Debug)]
pub struct Session {
    id: String,
    reader: UnixStream,
    writer: SessionWriter,
}

/// What can be told to a container from any thread.
#[derive(Debug, Clone)]
pub struct SessionWriter(Arc<Mutex<UnixStream>>);

impl Session {
    fn new(id: &str, socket: UnixStream) -> io::Result<Self> {
        let writer = SessionWriter(Arc::new(Mutex::new(socket.try_clone()?)));
        Ok(Self { id: id.to_owned(), reader: socket, writer })
    }

    /// The sending side.
    pub fn writer(&self) -> SessionWriter {
        self.writer.clone()
    }

    /// Waits for what happens next.
    ///
    /// # Errors
    ///
    /// When the monitor is gone without a word.
    pub fn event(&mut self) -> Result<SessionEvent, ContainerError> {
        loop {
            match self.frame()? {
                (Kind::Stdout, bytes) => return Ok(SessionEvent::Output(Stream::Stdout, bytes)),
                (Kind::Stderr, bytes) => return Ok(SessionEvent::Output(Stream::Stderr, bytes)),
                (Kind::Reply, content) => match self.decode(&content)? {
                    Reply::Exited(End { code, note }) => {
                        if let Some(note) = note {
                            tracing::warn!("{note}");
                        }
                        return Ok(SessionEvent::Ended(code));
                    }
                    // Nothing else that is asked for on the way is answered.
                    Reply::Done => return Ok(SessionEvent::Detached),
                    _ => {}
                },
                (Kind::Stdin | Kind::Request, _) => {}
            }
        }
    }

    /// Waits for the end, and forgets what is written until then.
    ///
    /// # Errors
    ///
    /// As [`Self::event`].
    pub fn wait(mut self) -> Result<i32, ContainerError> {
        loop {
            if let SessionEvent::Ended(code) = self.event()? {
                return Ok(code);
            }
        }
    }

    /// The answer to a request. Output that comes before it is not wanted.
    fn reply(&mut self) -> Result<Option<Reply>, ContainerError> {
        loop {
            match wire::read_frame(&mut self.reader) {
                Ok(Some((Kind::Reply, content))) => return self.decode(&content).map(Some),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }

    /// The answer to a request, with the descriptor that comes with its first byte.
    fn reply_with(&mut self) -> Result<Option<(Reply, Option<OwnedFd>)>, ContainerError> {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut ancillary = RecvAncillaryBuffer::new(&mut space);
        let mut head = [0; wire::HEADER_BYTES];
        let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::WAITALL;
        let received = recvmsg(&self.reader, &mut [IoSliceMut::new(&mut head)], &mut ancillary, flags);
        if received.map_or(0, |received| received.bytes) < head.len() {
            return Ok(None);
        }
        let descriptor = ancillary.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        let Ok(Some((Kind::Reply, length))) = wire::header(&head) else { return Ok(None) };
        let mut content = vec![0; length];
        match self.reader.read_exact(&mut content) {
            Ok(()) => Ok(Some((self.decode(&content)?, descriptor))),
            Err(_) => Ok(None),
        }
    }

    fn frame(&mut self) -> Result<(Kind, Vec<u8>), ContainerError> {
        match wire::read_frame(&mut self.reader) {
            Ok(Some(frame)) => Ok(frame),
            Ok(None) => Err(monitor_error(&self.id, "is gone")),
            Err(error) => Err(monitor_error(&self.id, &format!("cannot be heard: {error}"))),
        }
    }

    fn decode(&self, content: &[u8]) -> Result<Reply, ContainerError> {
        wire::decode(content).map_err(|_| monitor_error(&self.id, "says what nobody understands"))
    }
}

impl SessionWriter {
    /// What was typed. Nothing at all is the end of the input.
    ///
    /// # Errors
    ///
    /// When the container is gone.
    pub fn input(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return self.send(Kind::Stdin, bytes);
        }
        bytes.chunks(INPUT_BYTES_MAX).try_for_each(|piece| self.send(Kind::Stdin, piece))
    }

    /// Sends a signal to the command.
    ///
    /// # Errors
    ///
    /// When the container is gone.
    pub fn signal(&self, signal: i32) -> io::Result<()> {
        self.request(&Request::Signal(signal))
    }

    /// Tells the terminal its size.
    ///
    /// # Errors
    ///
    /// When the container is gone.
    pub fn resize(&self, size: WindowSize) -> io::Result<()> {
        self.request(&Request::Resize(size))
    }

    /// Lets go of the container, which goes on; the session is told when nothing follows.
    ///
    /// # Errors
    ///
    /// When the container is gone.
    pub fn detach(&self) -> io::Result<()> {
        self.request(&Request::Detach)
    }

    fn request(&self, request: &Request) -> io::Result<()> {
        let content = postcard::to_stdvec(request).expect("requests are plain data");
        self.send(Kind::Request, &content)
    }

    fn send(&self, kind: Kind, content: &[u8]) -> io::Result<()> {
        let mut socket = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        wire::write_frame(&mut *socket, kind, content)
    }
}

pub(super) fn monitor_error(id: &str, problem: &str) -> ContainerError {
    ContainerError::Monitor { id: id.to_owned(), problem: problem.to_owned() }
}

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
            && session.writer.request(request).is_ok()
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
            && session.writer.request(request).is_ok()
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
    let monitor = rustix::net::sockopt::socket_peercred(&session.reader).ok()?.pid;
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
