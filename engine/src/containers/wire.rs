//! What a monitor and its clients tell each other: frames on a stream socket.
//!
//! A frame is a byte for its kind, four for the length of its content (little-endian), and the content. Requests and
//! replies are postcard, the others the bytes of a stream.

use std::io::{self, Read, Write};

use executor::{SandboxError, Spec, WindowSize};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::networks::NetworkFault;

/// Bytes before the content.
pub(crate) const HEADER_BYTES: usize = 5;
/// Larger than any request: a specification names some hundred directories at most.
pub(crate) const CONTENT_BYTES_MAX: usize = 16 << 20;

/// What a frame is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// What is typed; empty content is the end.
    Stdin = 0,
    /// Standard output, or the terminal.
    Stdout = 1,
    /// Standard error.
    Stderr = 2,
    /// A [`Request`].
    Request = 3,
    /// A [`Reply`].
    Reply = 4,
}

impl Kind {
    fn of(byte: u8) -> Option<Self> {
        [Self::Stdin, Self::Stdout, Self::Stderr, Self::Request, Self::Reply]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }
}

/// What a client asks of a monitor.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Request {
    /// Starts the container, unless it runs.
    Start { spec: Box<Spec>, size: WindowSize, streams: Streams },
    /// Connects with the streams of the container.
    Attach(Streams),
    /// Starts a further command.
    Exec { spec: Box<Spec>, tty: Option<WindowSize>, streams: Streams },
    /// Tells the terminal its size: that of the command which this client started, or else the container's.
    Resize(WindowSize),
    /// Lets go of the streams; answers when nothing follows.
    Detach,
    /// Sends a signal to the same.
    Signal(i32),
    /// As `kill`: a signal after which the restart policy rests.
    Kill(i32),
    /// Ends the container: this signal first, and SIGKILL after so many seconds; negative for never.
    Stop { signal: i32, timeout_s: i64 },
    /// Lets everything stand still, or go on.
    Freeze(bool),
    /// Answers when the container ends.
    Wait,
    /// Other limits for what runs.
    Limit(Box<executor::Resources>),
    /// The configuration on disk has changed.
    Reload,
    /// Which processes there are.
    Members,
    /// The root directory of the container; a descriptor comes with the answer.
    Root,
    /// What another container shares with it; a pidfd of its first process comes with the answer.
    Neighbour,
}

/// With which streams a client wants to be connected.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Streams {
    /// What is typed.
    pub stdin: bool,
    /// What is written.
    pub output: bool,
}

/// What a monitor answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Reply {
    /// It is done.
    Done,
    /// The command runs. Whether it sees the names of the processes around it.
    Started { sees_all: bool },
    /// It could not be started.
    Failed(SandboxError),
    /// A network cannot be joined, or a port not published.
    Network { message: String, fault: NetworkFault },
    /// Another container does not share what was asked for.
    Sharing(String),
    /// The network of the container has no way to the host.
    NoHostGateway(String),
    /// The container is not in the state for it.
    Refused(Refusal),
    /// What was asked for does not work.
    Problem(String),
    /// The container, or the command which this client started, has ended.
    Exited(End),
    /// Processes of the container, by the host's numbers.
    Members(Vec<i32>),
    /// What others can share with the container.
    Neighbour(Box<Neighbour>),
}

impl Reply {
    /// What went wrong, for people.
    pub(crate) fn problem(&self) -> String {
        match self {
            Self::Failed(error) => error.to_string(),
            Self::Problem(text) => text.clone(),
            other => format!("{other:?}"),
        }
    }
}

/// What others can share with a container that runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Neighbour {
    /// What it shares itself.
    pub(crate) sharing: executor::Sharing,
    /// Whether others may have its queues.
    pub(crate) lends_queues: bool,
    /// Whether its network is the host's.
    pub(crate) has_network_of_host: bool,
    /// Its `/etc/hosts`.
    pub(crate) hosts: String,
    /// Its `/etc/resolv.conf`.
    pub(crate) resolv_conf: String,
}

/// How a command ended.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct End {
    pub(crate) code: i32,
    /// What there is to say about it: the limit on memory has ended it.
    pub(crate) note: Option<String>,
}

impl End {
    pub(crate) fn of(code: i32) -> Self {
        Self { code, note: None }
    }
}

/// What stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Refusal {
    /// Another monitor has the container.
    Busy,
    NotRunning,
    Running,
    Paused,
    NotPaused,
}

/// A frame as bytes.
pub(crate) fn frame(kind: Kind, content: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER_BYTES + content.len());
    put_frame(&mut bytes, kind, content);
    bytes
}

/// Adds a frame.
pub(crate) fn put_frame(bytes: &mut Vec<u8>, kind: Kind, content: &[u8]) {
    let length = u32::try_from(content.len()).expect("content is cut before it is sent");
    bytes.push(kind as u8);
    bytes.extend(length.to_le_bytes());
    bytes.extend(content);
}

pub(crate) fn message(kind: Kind, message: &impl Serialize) -> Vec<u8> {
    frame(kind, &postcard::to_stdvec(message).expect("messages are plain data"))
}

pub(crate) fn decode<T: DeserializeOwned>(content: &[u8]) -> io::Result<T> {
    postcard::from_bytes(content).map_err(io::Error::other)
}

/// Kind and length of a frame that begins with these bytes.
pub(crate) fn header(bytes: &[u8]) -> io::Result<Option<(Kind, usize)>> {
    let Some((kind, rest)) = bytes.split_first() else { return Ok(None) };
    let Some(length) = rest.first_chunk() else { return Ok(None) };
    let length = u32::from_le_bytes(*length) as usize;
    match Kind::of(*kind) {
        Some(kind) if length <= CONTENT_BYTES_MAX => Ok(Some((kind, length))),
        _ => Err(io::ErrorKind::InvalidData.into()),
    }
}

/// Reads one frame, waiting for it; none at the end.
pub(crate) fn read_frame(from: &mut impl Read) -> io::Result<Option<(Kind, Vec<u8>)>> {
    let mut head = [0; HEADER_BYTES];
    match from.read_exact(&mut head) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    }
    let (kind, length) = header(&head)?.ok_or(io::ErrorKind::InvalidData)?;
    let mut content = vec![0; length];
    from.read_exact(&mut content)?;
    Ok(Some((kind, content)))
}

/// Writes one frame.
pub(crate) fn write_frame(to: &mut impl Write, kind: Kind, content: &[u8]) -> io::Result<()> {
    to.write_all(&frame(kind, content))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back() {
        let mut bytes = message(Kind::Request, &Request::Stop { signal: 15, timeout_s: -1 });
        put_frame(&mut bytes, Kind::Stdin, b"typed");
        let mut from = bytes.as_slice();
        let (kind, content) = read_frame(&mut from).unwrap().unwrap();
        assert_eq!(kind, Kind::Request);
        assert!(matches!(decode(&content).unwrap(), Request::Stop { signal: 15, timeout_s: -1 }));
        assert_eq!(read_frame(&mut from).unwrap(), Some((Kind::Stdin, b"typed".to_vec())));
        assert_eq!(read_frame(&mut from).unwrap(), None);
    }

    #[test]
    fn what_is_no_frame_is_refused() {
        assert_eq!(header(&[0, 1, 0]).unwrap(), None);
        assert!(header(&[9, 0, 0, 0, 0]).is_err());
        assert!(header(&[1, 255, 255, 255, 255]).is_err());
    }
}
