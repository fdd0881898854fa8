//! Where the standard streams of the command lead.

use std::os::fd::{AsFd, OwnedFd};

use rustix::fs::{Mode, OFlags};
use rustix::pipe::PipeFlags;

use crate::error::{OrKernel, SandboxError};
use crate::spec::WindowSize;
use crate::wire::Streams;

/// One of the two output streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Descriptor 1.
    Stdout,
    /// Descriptor 2.
    Stderr,
}

/// Receives output as it arrives, in the thread that waits. While it does not return, the command blocks once the
/// pipe is full.
pub type Output = Box<dyn FnMut(Stream, &[u8]) + Send>;

/// Where the standard streams of the command lead.
pub enum Io {
    /// Nowhere: no input, output is thrown away.
    Null,
    /// To ours.
    Inherit,
    /// To the given descriptors.
    Files {
        /// Descriptor 0.
        stdin: OwnedFd,
        /// Descriptor 1.
        stdout: OwnedFd,
        /// Descriptor 2.
        stderr: OwnedFd,
    },
    /// Through pipes to a callback.
    Pipes {
        /// Descriptor 0; no input if absent.
        stdin: Option<OwnedFd>,
        /// Called with each piece of output.
        output: Output,
    },
    /// A terminal in the container, see [`crate::Child::take_terminal`].
    Terminal {
        /// Its size when the command starts.
        size: WindowSize,
    },
}

/// The two sides of [`Io`].
pub(crate) struct Connected {
    pub(crate) streams: Streams,
    /// For the command: three descriptors, or none with a terminal.
    pub(crate) theirs: Vec<OwnedFd>,
    pub(crate) ours: Option<Receiver>,
}

/// Our ends of the pipes.
pub(crate) struct Receiver {
    pub(crate) output: Output,
    pub(crate) pipes: Vec<(Stream, OwnedFd)>,
}

pub(crate) fn connect(io: Io) -> Result<Connected, SandboxError> {
    let foreign = |theirs| Connected { streams: Streams::Foreign, theirs, ours: None };
    match io {
        Io::Null => Ok(foreign(vec![null()?, null()?, null()?])),
        Io::Inherit => {
            let dup = |fd: std::os::fd::BorrowedFd<'_>| {
                fd.try_clone_to_owned().or_kernel(|| String::from("dup(standard stream)"))
            };
            let (stdin, stdout, stderr) = (std::io::stdin(), std::io::stdout(), std::io::stderr());
            Ok(foreign(vec![dup(stdin.as_fd())?, dup(stdout.as_fd())?, dup(stderr.as_fd())?]))
        }
        Io::Files { stdin, stdout, stderr } => Ok(foreign(vec![stdin, stdout, stderr])),
        Io::Pipes { stdin, output } => {
            let stdin = stdin.map_or_else(null, Ok)?;
            let ((out_read, out_write), (err_read, err_write)) = (pipe()?, pipe()?);
            let pipes = vec![(Stream::Stdout, out_read), (Stream::Stderr, err_read)];
            Ok(Connected {
                streams: Streams::Own,
                theirs: vec![stdin, out_write, err_write],
                ours: Some(Receiver { output, pipes }),
            })
        }
        Io::Terminal { size } => {
            Ok(Connected { streams: Streams::Terminal(size), theirs: Vec::new(), ours: None })
        }
    }
}

fn null() -> Result<OwnedFd, SandboxError> {
    rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .or_kernel(|| String::from("open(\"/dev/null\")"))
}

/// A pipe whose reading end never blocks.
fn pipe() -> Result<(OwnedFd, OwnedFd), SandboxError> {
    let call = || String::from("pipe2()");
    let (read, write) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC).or_kernel(call)?;
    rustix::fs::fcntl_setfl(&read, OFlags::NONBLOCK).or_kernel(call)?;
    Ok((read, write))
}
