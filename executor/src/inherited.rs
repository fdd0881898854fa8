//! Descriptors that the process was started with.

use std::fs;
use std::io;
use std::os::fd::{OwnedFd, RawFd};

use crate::sys;

/// The descriptor of this number that a service manager has left to this process, see sd_listen_fds(3). It can be taken
/// once.
///
/// # Errors
///
/// When there is none, or it is no socket: then it is not one that was left to us.
pub fn inherited_descriptor(number: RawFd) -> io::Result<OwnedFd> {
    let kind = fs::read_link(format!("/proc/self/fd/{number}"))?;
    if !kind.to_string_lossy().starts_with("socket:") {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, format!("descriptor {number} is no socket")));
    }
    sys::inherited_descriptor(number)
}
