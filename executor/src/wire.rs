//! What the processes of a sandbox tell each other, and how it travels.
//!
//! A control socket (`SOCK_SEQPACKET`) connects the engine with its helper. It also is the lifeline: when the
//! engine dies, however it dies, the helper sees the end of the socket.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::child::Usage;
use crate::error::SandboxError;
use crate::kernel_files::Processes;
use crate::spec::{SOCKETS_MAX, Spec, WindowSize};
use crate::stubs::Stubs;

/// Largest message on the control socket. Specifications are larger and travel in a memory file.
const MESSAGE_BYTES_MAX: usize = 64 << 10;

/// Most descriptors in one message: all sockets, a listener and a terminal. The job has three streams and a network.
const DESCRIPTORS_MAX: usize = SOCKETS_MAX + 2;

/// Everything the helper needs to know.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Job {
    pub(crate) spec: Spec,
    /// The compiled seccomp filter, empty for none.
    pub(crate) filter: Vec<u64>,
    pub(crate) streams: Streams,
    /// Files by which the command joins its control groups; none leaves it in those of the engine.
    #[serde(with = "paths")]
    pub(crate) entrances: Vec<std::path::PathBuf>,
}

/// The only message to the helper. It carries the memory file of the job, and the standard streams if there is no
/// terminal.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct NewJob(pub(crate) JobKind);

/// What can be known of a job without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum JobKind {
    /// One for which a process can be made before anything else is known of it.
    Ordinary,
    /// Any other.
    Other,
}

/// What becomes of descriptors 0, 1 and 2.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Streams {
    /// The caller's own: they are passed on as they are.
    Foreign,
    /// Made for this process: they are given to its user, so that it can open `/dev/stdout`.
    Own,
    /// A terminal that the sandbox allocates.
    Terminal(WindowSize),
}

/// What the helper processes report to the engine.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The process that will become the command exists. Carries a pidfd of it.
    Started,
    /// Everything is set up, and the next call is execve. Carries what listens, then the listener of a network on
    /// demand, and then the terminal, if there are such.
    Ready { stubs: Stubs, listeners: usize, is_on_demand: bool, processes: Processes },
    /// Setting up, or the execve, went wrong.
    Failed(SandboxError),
    /// The command is gone, and with it everything that it started.
    Exited { status: i32, usage: Usage },
}

/// Writes `value` to a new memory file.
pub(crate) fn to_memory_file(value: &impl Serialize) -> io::Result<OwnedFd> {
    let bytes = postcard::to_stdvec(value).map_err(io::Error::other)?;
    let file = rustix::fs::memfd_create(c"slipway-job", rustix::fs::MemfdFlags::CLOEXEC)?;
    let mut rest = bytes.as_slice();
    while !rest.is_empty() {
        rest = &rest[rustix::io::write(&file, rest)?..];
    }
    Ok(file)
}

/// Reads what [`to_memory_file`] wrote.
pub(crate) fn from_memory_file<T: DeserializeOwned>(file: impl AsFd) -> io::Result<T> {
    let size = usize::try_from(rustix::fs::fstat(&file)?.st_size).map_err(io::Error::other)?;
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match rustix::io::pread(&file, &mut bytes[filled..], filled as u64)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => filled += count,
        }
    }
    postcard::from_bytes(&bytes).map_err(io::Error::other)
}

/// Reports an error to the engine. If nobody receives it, the engine is gone and so will we be.
pub(crate) fn report_failure(control: &OwnedFd, error: SandboxError) -> io::Result<()> {
    let kind = error.kind();
    match send(control, &Report::Failed(error), &[]) {
        Err(error) if error.raw_os_error() == Some(libc::EMSGSIZE) => {
            let problem = format!("met an error ({kind:?}) that is too long to report");
            send(control, &Report::Failed(SandboxError::Helper { problem }), &[])
        }
        result => result,
    }
}

/// Sends one message with descriptors.
pub(crate) fn send(socket: impl AsFd, message: &impl Serialize, fds: &[BorrowedFd<'_>]) -> io::Result<()> {
    let bytes = postcard::to_stdvec(message).map_err(io::Error::other)?;
    if bytes.len() > MESSAGE_BYTES_MAX {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() {
        assert!(
            ancillary.push(SendAncillaryMessage::ScmRights(fds)),
            "there is room for every message's descriptors"
        );
    }
    rustix::net::sendmsg(socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Whether one of these things happens to a socket within `patience`, or ever.
pub(crate) fn has_news(socket: impl AsFd, news: PollFlags, patience: Option<Duration>) -> bool {
    let begin = Instant::now();
    loop {
        let rest = patience.map(|patience| patience.saturating_sub(begin.elapsed()));
        let time = rest.and_then(|rest| Timespec::try_from(rest).ok());
        let mut fds = [PollFd::new(&socket, news)];
        match poll(&mut fds, time.as_ref()) {
            Err(rustix::io::Errno::INTR) => {}
            result => return result.is_ok_and(|count| count > 0),
        }
    }
}

/// Waits for a message, and returns how long it is; nothing at the end of the socket. Messages are much smaller than the largest
/// may be.
fn next_bytes(socket: impl AsFd) -> io::Result<usize> {
    let mut none = [0_u8; 0];
    let flags = RecvFlags::PEEK | RecvFlags::TRUNC;
    match rustix::io::retry_on_intr(|| rustix::net::recv(&socket, &mut none, flags)) {
        Ok((_, bytes)) => Ok(bytes),
        // As in what follows.
        Err(rustix::io::Errno::CONNRESET) => Ok(0),
        Err(error) => Err(error.into()),
    }
}

/// Receives one message; `None` at the end of the socket.
pub(crate) fn receive<T: DeserializeOwned>(socket: impl AsFd) -> io::Result<Option<(T, Vec<OwnedFd>)>> {
    let mut bytes = vec![0; next_bytes(&socket)?.min(MESSAGE_BYTES_MAX)];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(DESCRIPTORS_MAX))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let received = rustix::io::retry_on_intr(|| {
        let buffer = &mut [IoSliceMut::new(&mut bytes)];
        rustix::net::recvmsg(&socket, buffer, &mut ancillary, RecvFlags::CMSG_CLOEXEC)
    });
    let received = match received {
        // A peer that died with messages unread resets the connection; for us that is its end.
        Err(rustix::io::Errno::CONNRESET) => return Ok(None),
        other => other?,
    };
    if received.flags.intersects(ReturnFlags::TRUNC | ReturnFlags::CTRUNC) {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    let fds = ancillary
        .drain()
        .flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => fds.collect(),
            _ => Vec::new(),
        })
        .collect();
    let message = postcard::from_bytes(&bytes[..received.bytes]).map_err(io::Error::other)?;
    Ok(Some((message, fds)))
}

/// Paths as bytes: a path of the kernel need not be UTF-8.
pub(crate) mod path {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::path::{Path, PathBuf};

    use serde::{Deserialize, Deserializer, Serializer};

    pub(crate) fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(path.as_os_str().as_bytes())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        let bytes: &[u8] = Deserialize::deserialize(deserializer)?;
        Ok(PathBuf::from(OsStr::from_bytes(bytes)))
    }
}

/// Lists of [`path`]s.
pub(crate) mod paths {
    use std::path::PathBuf;

    use serde::ser::SerializeSeq;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    #[derive(Deserialize)]
    struct Owned(#[serde(with = "super::path")] PathBuf);

    #[derive(Serialize)]
    struct Borrowed<'a>(#[serde(serialize_with = "super::path::serialize")] &'a PathBuf);

    pub(crate) fn serialize<S: Serializer>(paths: &[PathBuf], serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(paths.len()))?;
        for path in paths {
            sequence.serialize_element(&Borrowed(path))?;
        }
        sequence.end()
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<PathBuf>, D::Error> {
        let paths: Vec<Owned> = Deserialize::deserialize(deserializer)?;
        Ok(paths.into_iter().map(|path| path.0).collect())
    }
}
