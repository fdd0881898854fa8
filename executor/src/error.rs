//! What can go wrong with a sandbox: the specification, the kernel, or ourselves.

use std::io;

use serde::{Deserialize, Serialize};

use crate::network::NetworkError;

/// Exit code that a shell gives to a command that does not exist.
pub const EXIT_NOT_FOUND: i32 = 127;

/// Exit code that a shell gives to a command that exists and cannot be executed.
pub const EXIT_NOT_EXECUTABLE: i32 = 126;

/// An error number of the kernel, see errno(3).
///
/// It travels between the processes of a sandbox, which an `io::Error` cannot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Errno(
    /// The number, `EPERM` and so on.
    pub i32,
);

impl std::fmt::Display for Errno {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        io::Error::from_raw_os_error(self.0).fmt(out)
    }
}

impl std::error::Error for Errno {}

impl From<rustix::io::Errno> for Errno {
    fn from(errno: rustix::io::Errno) -> Self {
        Self(errno.raw_os_error())
    }
}

impl From<nix::errno::Errno> for Errno {
    fn from(errno: nix::errno::Errno) -> Self {
        Self(errno as i32)
    }
}

impl From<io::Error> for Errno {
    fn from(error: io::Error) -> Self {
        Self(error.raw_os_error().unwrap_or(libc::EIO))
    }
}

/// An error with its causes in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The specification asks for what the image or the grammar does not allow.
    Spec,
    /// The kernel refused a call that the specification needs.
    Kernel,
    /// A mistake of ours, or a helper process that somebody killed.
    Internal,
}

/// Why a sandbox did not start, or did not come to an ordinary end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum SandboxError {
    /// `argv` is empty.
    #[error("no command to run")]
    NoCommand,
    /// The user is neither a number nor a name in the image.
    #[error("no user `{user}` in the image's `/etc/passwd`")]
    UnknownUser {
        /// The user part of the specification.
        user: String,
    },
    /// The group is neither a number nor a name in the image.
    #[error("no group `{group}` in the image's `/etc/group`")]
    UnknownGroup {
        /// The group part of the specification.
        group: String,
    },
    /// A user or group number that no process can have.
    #[error("user or group id `{id}` is not between 0 and {max}", max = i32::MAX)]
    IdOutOfRange {
        /// The number as it was written.
        id: String,
    },
    /// A file of the image that must be read is not what it has to be.
    #[error("`{path}` in the image {problem}")]
    BadImageFile {
        /// Path inside the image.
        path: String,
        /// "is not a regular file", "is larger than ...".
        problem: String,
    },
    /// The working directory is not a directory inside the root.
    #[error("working directory `{path}` is not usable")]
    Cwd {
        /// The directory as it was asked for.
        path: String,
        /// Why, `ENOENT`, `ENOTDIR`, `ELOOP` for a link that leads out.
        source: Errno,
    },
    /// The executable does not exist in the image: exit code 127.
    #[error("executable `{program}` not found in the image")]
    NotFound {
        /// `argv[0]`.
        program: String,
    },
    /// The executable exists; the interpreter that it names does not: exit code 127.
    #[error("executable `{program}` names an interpreter or loader that is not in the image")]
    NoInterpreter {
        /// `argv[0]`.
        program: String,
    },
    /// The executable exists and the kernel does not run it: exit code 126.
    #[error("`{program}` cannot be executed")]
    NotExecutable {
        /// `argv[0]`.
        program: String,
        /// `EACCES`, `ENOEXEC`, `E2BIG`, ...
        source: Errno,
    },
    /// The executable is for another kind of processor, and no emulator is registered: exit code 126.
    #[error("`{program}` is for {architecture}, and the kernel knows no emulator for that")]
    ForeignArchitecture {
        /// `argv[0]`.
        program: String,
        /// The architecture in the words of platforms, `arm64`.
        architecture: String,
    },
    /// A mount point cannot be used.
    #[error("mount target `{target}` {problem}")]
    Target {
        /// Path inside the root.
        target: String,
        /// "is not a directory", ...
        problem: String,
    },
    /// A field has a value that its grammar does not allow.
    #[error("`{field}` has the value `{value}`: {problem}")]
    BadField {
        /// Name of the field of [`crate::Spec`].
        field: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        problem: String,
    },
    /// The kernel refused a system call.
    #[error("{call}")]
    Kernel {
        /// The call with its arguments.
        call: String,
        /// Its error.
        source: Errno,
    },
    /// The kernel mounts no overlay, or not this one: [`crate::Rootfs::Directory`] is the way without.
    #[error("{call}")]
    NoOverlay {
        /// The call with its arguments.
        call: String,
        /// Its error.
        source: Errno,
    },
    /// The sandbox cannot be connected to its network.
    #[error("cannot connect the sandbox to a network")]
    Network(#[source] NetworkError),
    /// A helper process ended without a report: it was killed, or has a bug.
    #[error("the sandbox helper {problem}")]
    Helper {
        /// What was seen.
        problem: String,
    },
}

impl SandboxError {
    /// Whose fault this is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoCommand
            | Self::UnknownUser { .. }
            | Self::UnknownGroup { .. }
            | Self::IdOutOfRange { .. }
            | Self::BadImageFile { .. }
            | Self::Cwd { .. }
            | Self::NotFound { .. }
            | Self::NoInterpreter { .. }
            | Self::NotExecutable { .. }
            | Self::ForeignArchitecture { .. }
            | Self::Target { .. }
            | Self::BadField { .. } => ErrorKind::Spec,
            Self::Kernel { .. } | Self::NoOverlay { .. } | Self::Network(_) => ErrorKind::Kernel,
            Self::Helper { .. } => ErrorKind::Internal,
        }
    }

    /// The exit code that a shell or `docker run` would show, if the command itself is the problem.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::NotFound { .. } | Self::NoInterpreter { .. } => Some(EXIT_NOT_FOUND),
            Self::NotExecutable { .. } | Self::ForeignArchitecture { .. } => Some(EXIT_NOT_EXECUTABLE),
            _ => None,
        }
    }
}

/// Turns the error of a system call into a [`SandboxError`] that names the call.
pub(crate) trait OrKernel<T> {
    /// `call` is only formatted when the call was refused.
    fn or_kernel(self, call: impl FnOnce() -> String) -> Result<T, SandboxError>;
}

impl<T, E: Into<Errno>> OrKernel<T> for Result<T, E> {
    fn or_kernel(self, call: impl FnOnce() -> String) -> Result<T, SandboxError> {
        self.map_err(|error| SandboxError::Kernel { call: call(), source: error.into() })
    }
}
