//! The streams of one command.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use executor::{Io, Stream, Terminal, WindowSize};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::PipeFlags;

/// What was typed and not yet read is kept up to this size.
const INPUT_BYTES_MAX: usize = 256 << 10;
/// Size of a pipe as the kernel makes it, see pipe(7).
const PIPE_BYTES_DEFAULT: usize = 64 << 10;
/// Size of a pipe that has been full, so that who writes much is not stopped as often. The kernel allows an ordinary user 256
/// of these before it makes all his pipes smaller.
pub(super) const PIPE_BYTES: usize = 256 << 10;

/// Our ends of the streams of a command.
pub(super) struct Task {
    terminal: Option<Terminal>,
    /// Where input goes; none without one, and after its end.
    input: Option<OwnedFd>,
    pending: Vec<u8>,
    /// Whether nothing will follow what is pending.
    is_ended: bool,
    outputs: Vec<(Stream, OwnedFd)>,
}

/// Whether a command has an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Input {
    Open,
    Closed,
}

impl Task {
    /// Both sides of pipes.
    pub(super) fn piped(input: Input) -> rustix::io::Result<(Self, Io)> {
        let pipe = || rustix::pipe::pipe_with(PipeFlags::CLOEXEC);
        let ((out, stdout), (err, stderr)) = (pipe()?, pipe()?);
        for fd in [&out, &err] {
            rustix::io::ioctl_fionbio(fd, true)?;
        }
        let (stdin, writer) = match input {
            Input::Open => {
                let (stdin, writer) = pipe()?;
                rustix::io::ioctl_fionbio(&writer, true)?;
                (stdin, Some(writer))
            }
            Input::Closed => {
                let null = rustix::fs::open(c"/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
                (null, None)
            }
        };
        let task = Self {
            terminal: None,
            input: writer,
            pending: Vec::new(),
            is_ended: false,
            outputs: vec![(Stream::Stdout, out), (Stream::Stderr, err)],
        };
        Ok((task, Io::Files { stdin, stdout, stderr }))
    }

    /// Our side of a terminal.
    pub(super) fn of_terminal(terminal: Terminal, input: Input) -> std::io::Result<Self> {
        let duplicate = || terminal.as_fd().try_clone_to_owned();
        rustix::io::ioctl_fionbio(&terminal, true)?;
        let outputs = vec![(Stream::Stdout, duplicate()?)];
        let input = if input == Input::Open { Some(duplicate()?) } else { None };
        Ok(Self { terminal: Some(terminal), input, pending: Vec::new(), is_ended: false, outputs })
    }

    pub(super) fn outputs(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.outputs.iter().map(|(_, fd)| fd.as_fd())
    }

    /// Whether more input is taken at the moment.
    pub(super) fn wants_input(&self) -> bool {
        self.pending.len() < INPUT_BYTES_MAX
    }

    /// Where input waits for room.
    pub(super) fn blocked_input(&self) -> Option<BorrowedFd<'_>> {
        self.input.as_ref().filter(|_| !self.pending.is_empty()).map(AsFd::as_fd)
    }

    /// Adds input; nothing at all is its end, which a terminal does not have.
    pub(super) fn put_input(&mut self, bytes: &[u8]) {
        if self.is_ended || self.input.is_none() {
            return;
        }
        self.is_ended = bytes.is_empty() && self.terminal.is_none();
        self.pending.extend_from_slice(bytes);
        self.write_input();
    }

    /// Passes on what fits.
    pub(super) fn write_input(&mut self) {
        let mut written = 0;
        while let Some(input) = self.input.as_ref().filter(|_| written < self.pending.len()) {
            match rustix::io::write(input, &self.pending[written..]) {
                Ok(count) => written += count,
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => break,
                // Nobody reads it any more.
                Err(_) => {
                    self.input = None;
                    written = self.pending.len();
                }
            }
        }
        self.pending.drain(..written);
        if self.is_ended && self.pending.is_empty() {
            self.input = None;
        }
    }

    /// Reads once from each output, and passes that on. False when nothing has come.
    pub(super) fn read_outputs(&mut self, buffer: &mut [u8], mut to: impl FnMut(Stream, &[u8])) -> bool {
        let mut has_read = false;
        self.outputs.retain(|(stream, fd)| match rustix::io::read(fd, &mut *buffer) {
            Ok(0) => false,
            Ok(count) => {
                has_read = true;
                if count == PIPE_BYTES_DEFAULT {
                    // Where the kernel refuses it stays as it is.
                    let _ = rustix::pipe::fcntl_setpipe_size(fd, PIPE_BYTES);
                }
                to(*stream, &buffer[..count]);
                true
            }
            Err(Errno::AGAIN | Errno::INTR) => true,
            // A terminal that nobody has open any more.
            Err(_) => false,
        });
        has_read
    }

    /// Tells the terminal its size.
    pub(super) fn resize(&self, size: WindowSize) {
        if let Some(terminal) = &self.terminal {
            // The only error is that its programs are gone.
            let _ = terminal.resize(size);
        }
    }
}
