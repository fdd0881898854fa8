//! Sockets in a container whose connections the engine accepts.

use std::os::fd::{AsRawFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Gid, Mode, Uid};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

use crate::devices::Scratch;
use crate::error::{OrKernel, SandboxError};
use crate::mounting::{Depth, clone_mount};
use crate::spec::{Mount, SOCKETS_MAX};

/// Connections that wait to be accepted; the next one waits in connect(2).
const BACKLOG: i32 = 128;

/// A socket that listens, and a detached mount of its file.
pub(crate) struct Listening {
    pub(crate) socket: OwnedFd,
    pub(crate) file: OwnedFd,
}

/// Refuses more sockets than a message has room for, before anything is set up.
pub(crate) fn check_sockets(mounts: &[Mount]) -> Result<(), SandboxError> {
    let count = mounts.iter().filter(|mount| matches!(mount, Mount::Socket { .. })).count();
    if count <= SOCKETS_MAX {
        return Ok(());
    }
    Err(SandboxError::BadField {
        field: String::from("mounts"),
        value: format!("{count} sockets"),
        problem: format!("a container has {SOCKETS_MAX} at most"),
    })
}

impl Scratch {
    /// Makes a socket and listens on it.
    pub(crate) fn listen(&self, mode: u32, (uid, gid): (u32, u32)) -> Result<Listening, SandboxError> {
        let place = self.place()?;
        // A directory in memory has no path but the one through its descriptor.
        let path = format!("/proc/self/fd/{}/socket", place.directory.as_raw_fd());
        let address = SocketAddrUnix::new(path.as_str()).or_kernel(|| format!("sockaddr_un({path:?})"))?;
        let flags = SocketFlags::CLOEXEC;
        let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)
            .or_kernel(|| String::from("socket(AF_UNIX, SOCK_STREAM)"))?;
        rustix::net::bind(&socket, &address).or_kernel(|| format!("bind({path:?})"))?;
        rustix::net::listen(&socket, BACKLOG).or_kernel(|| format!("listen({path:?}, {BACKLOG})"))?;
        let owner = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
        rustix::fs::chownat(&place.directory, "socket", owner.0, owner.1, AtFlags::SYMLINK_NOFOLLOW)
            .or_kernel(|| format!("fchownat(a socket, {uid}, {gid})"))?;
        rustix::fs::chmodat(&place.directory, "socket", Mode::from_raw_mode(mode), AtFlags::empty())
            .or_kernel(|| format!("fchmodat(a socket, {mode:o})"))?;
        let file = clone_mount(&place.directory, Path::new("socket"), Depth::One)?;
        Ok(Listening { socket, file })
    }
}
