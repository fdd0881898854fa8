//! A client's connection to the monitor of a container.

use std::io::{self, IoSliceMut, Read};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};

use executor::{Stream, WindowSize};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};

use super::error::ContainerError;
use super::wire::{self, End, Kind, Reply, Request};

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
    pub(super) fn new(id: &str, socket: UnixStream) -> io::Result<Self> {
        let writer = SessionWriter(Arc::new(Mutex::new(socket.try_clone()?)));
        Ok(Self { id: id.to_owned(), reader: socket, writer })
    }

    /// Itself, for those who want to know who is at its other end.
    pub(super) fn socket(&self) -> &UnixStream {
        &self.reader
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
    pub(super) fn reply(&mut self) -> Result<Option<Reply>, ContainerError> {
        loop {
            match wire::read_frame(&mut self.reader) {
                Ok(Some((Kind::Reply, content))) => return self.decode(&content).map(Some),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return Ok(None),
            }
        }
    }

    /// The answer to a request, with the descriptor that comes with its first byte.
    pub(super) fn reply_with(&mut self) -> Result<Option<(Reply, Option<OwnedFd>)>, ContainerError> {
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

    pub(super) fn request(&self, request: &Request) -> io::Result<()> {
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
