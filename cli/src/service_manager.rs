//! The service manager that has started us, if one has: how we are, see sd_notify(3).

use std::env;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// Where it listens: a path, or a name after `@` that is in no file system.
const VARIABLE: &str = "NOTIFY_SOCKET";

/// What it can be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// Clients are served.
    Ready,
    /// They are no more.
    Stopping,
}

/// Tells how we are. Nobody but it suffers when it does not hear that.
pub(crate) fn tell(state: State) {
    let Some(place) = env::var_os(VARIABLE).filter(|place| !place.is_empty()) else { return };
    let message = match state {
        State::Ready => "READY=1",
        State::Stopping => "STOPPING=1",
    };
    if let Err(error) = send(place.as_bytes(), message) {
        tracing::warn!(%error, "cannot tell the service manager `{message}`");
    }
}

fn send(place: &[u8], message: &str) -> io::Result<()> {
    let address = match place.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(place))?,
    };
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), &address).map(drop)
}
