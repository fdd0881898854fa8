//! Where clients connect.

use std::fmt;
use std::fs::{self, Permissions};
use std::io;
use std::os::fd::RawFd;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use engine::sandbox::inherited_descriptor;
use rustix::fs::{Gid, Uid};
use rustix::net::AddressFamily;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

/// Who may connect: the owner and the group, as with Docker's socket.
const SOCKET_MODE: u32 = 0o660;
/// The first descriptor that systemd passes, see sd_listen_fds(3).
const FIRST_DESCRIPTOR: RawFd = 3;

/// An address to listen at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Address {
    /// `unix://PATH`: a socket of the file system.
    Unix(PathBuf),
    /// `tcp://HOST:PORT`.
    Tcp(String),
    /// `fd://`, `fd://3`: a socket that is open already, from systemd; the first one unless it says which.
    Descriptor(RawFd),
}

/// A text that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid address `{text}`, expected unix://PATH, tcp://HOST:PORT or fd://")]
pub struct InvalidAddress {
    text: String,
}

impl FromStr for Address {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let invalid = || InvalidAddress { text: text.to_owned() };
        match text.split_once("://").ok_or_else(invalid)? {
            ("unix", path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            ("tcp", place) if place.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok()) => {
                Ok(Self::Tcp(place.to_owned()))
            }
            ("fd", "") => Ok(Self::Descriptor(FIRST_DESCRIPTOR)),
            ("fd", number) => {
                let number = number.parse().ok().filter(|number| *number >= FIRST_DESCRIPTOR);
                number.map(Self::Descriptor).ok_or_else(invalid)
            }
            _ => Err(invalid()),
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(out, "unix://{}", path.display()),
            Self::Tcp(place) => write!(out, "tcp://{place}"),
            Self::Descriptor(number) => write!(out, "fd://{number}"),
        }
    }
}

/// Whose a socket in the file system is: the one who runs the daemon, unless it is somebody else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SocketOwner {
    /// The user.
    pub uid: Option<u32>,
    /// The group.
    pub gid: Option<u32>,
}

/// What accepts connections. The socket in the file system goes with it.
#[derive(Debug)]
pub(crate) enum Listener {
    Unix { listener: UnixListener, path: Option<PathBuf> },
    Tcp(TcpListener),
}

/// A connection with a client.
pub(crate) trait Connection: AsyncRead + AsyncWrite + Unpin {}

impl<T: AsyncRead + AsyncWrite + Unpin> Connection for T {}

/// A client that has come.
pub(crate) enum Arrived {
    /// Through the file system, whose permissions let it in.
    Local(UnixStream),
    /// Over a network.
    Remote(TcpStream),
}

impl Listener {
    /// Begins to listen. A socket that nobody listens at any more is replaced.
    pub(crate) async fn bind(address: &Address, owner: SocketOwner) -> io::Result<Self> {
        match address {
            Address::Unix(path) => {
                remove_stale(path).await?;
                if let Some(directory) = path.parent() {
                    fs::create_dir_all(directory)?;
                }
                let listener = UnixListener::bind(path)?;
                // The socket goes again when it cannot be made what it should be.
                let bound = Self::Unix { listener, path: Some(path.clone()) };
                let (uid, gid) = (owner.uid.map(Uid::from_raw), owner.gid.map(Gid::from_raw));
                rustix::fs::chown(path, uid, gid)?;
                fs::set_permissions(path, Permissions::from_mode(SOCKET_MODE))?;
                Ok(bound)
            }
            Address::Tcp(place) => Ok(Self::Tcp(TcpListener::bind(place).await?)),
            Address::Descriptor(number) => inherited(*number),
        }
    }

    /// The next client.
    pub(crate) async fn accept(&self) -> io::Result<Arrived> {
        match self {
            Self::Unix { listener, .. } => Ok(Arrived::Local(listener.accept().await?.0)),
            Self::Tcp(listener) => {
                let connection = listener.accept().await?.0;
                connection.set_nodelay(true)?;
                Ok(Arrived::Remote(connection))
            }
        }
    }

    /// Where it listens, with the port that it was given.
    pub(crate) fn place(&self) -> String {
        match self {
            Self::Unix { path: Some(path), .. } => format!("unix://{}", path.display()),
            Self::Unix { path: None, .. } => "a socket of the service manager".to_owned(),
            Self::Tcp(listener) => listener.local_addr().map_or_else(
                |error| format!("an address that is not known: {error}"),
                |address| format!("tcp://{address}"),
            ),
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix { path: Some(path), .. } = self {
            // Best effort: the next one replaces it.
            let _ = fs::remove_file(path);
        }
    }
}

/// A socket that was open before us.
fn inherited(number: RawFd) -> io::Result<Listener> {
    let socket = inherited_descriptor(number)?;
    let address = rustix::net::getsockname(&socket)?;
    if address.address_family() == AddressFamily::UNIX {
        let listener = std::os::unix::net::UnixListener::from(socket);
        listener.set_nonblocking(true)?;
        return Ok(Listener::Unix { listener: UnixListener::from_std(listener)?, path: None });
    }
    let listener = std::net::TcpListener::from(socket);
    listener.set_nonblocking(true)?;
    Ok(Listener::Tcp(TcpListener::from_std(listener)?))
}

async fn remove_stale(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match UnixStream::connect(path).await {
        Ok(_) => Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there already")),
        Err(_) => fs::remove_file(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_written_as_for_buildkitd() {
        for text in ["unix:///run/a.sock", "tcp://0.0.0.0:1234", "tcp://[::1]:0", "fd://3", "fd://4"] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), text);
        }
        assert_eq!("fd://".parse(), Ok(Address::Descriptor(FIRST_DESCRIPTOR)));
        for text in [
            "",
            "/run/a.sock",
            "unix://a.sock",
            "tcp://host",
            "tcp://host:x",
            "fd://1",
            "fd://x",
            "npipe://x",
        ] {
            assert!(text.parse::<Address>().is_err(), "{text}");
        }
    }
}
