//! Published ports: what comes to a port of the host goes on to a container.
//!
//! A process of ours, the *porter*, has the listening sockets, which belong to the host's network, and lives in the network
//! namespace of the container, in which it connects. So nothing has to be arranged between the two networks: neither an
//! address that both know nor rules of a firewall, and it is the same for root and everybody else. The program in the
//! container sees connections that come from its own address.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use serde::{Deserialize, Serialize};

use super::{NetworkError, OrNetwork};
use crate::dispatch::PORTS;
use crate::engine_binary;
use crate::wire::{receive, send};

/// Connections that wait to be taken, as the kernel has it by default.
const BACKLOG: i32 = 4096;

/// Sockets in one message.
const BATCH_MAX: usize = 16;

/// Where nothing is sent: an address of documents (RFC 5737). What matters is from where it would be sent.
const ELSEWHERE: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1)), 9);

/// What a port is of.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Protocol {
    /// tcp(7).
    #[default]
    Tcp,
    /// udp(7).
    Udp,
}

impl Protocol {
    /// The word for it: `tcp`, `udp`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp => "udp",
        }
    }
}

/// A port of the host that is ours until this is dropped.
#[derive(Debug)]
pub struct HostPort {
    socket: OwnedFd,
    protocol: Protocol,
    address: SocketAddr,
}

impl HostPort {
    /// Takes a port. Port 0 is one that is free.
    ///
    /// # Errors
    ///
    /// `EADDRINUSE`, `EACCES` for a port that only root may have, `EADDRNOTAVAIL` for an address of another machine.
    pub fn take(protocol: Protocol, address: SocketAddr) -> Result<Self, crate::Errno> {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let kind = match protocol {
            Protocol::Tcp => SocketType::STREAM,
            Protocol::Udp => SocketType::DGRAM,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(family, kind, flags, None)?;
        if address.is_ipv6() {
            // The other family has a socket of its own.
            sockopt::set_ipv6_v6only(&socket, true)?;
        }
        if protocol == Protocol::Tcp {
            // Connections of a container that has ended keep nobody from its port.
            sockopt::set_socket_reuseaddr(&socket, true)?;
        }
        rustix::net::bind(&socket, &address)?;
        if protocol == Protocol::Tcp {
            rustix::net::listen(&socket, BACKLOG)?;
        }
        let address =
            SocketAddr::try_from(rustix::net::getsockname(&socket)?).map_err(|_| Errno::AFNOSUPPORT)?;
        Ok(Self { socket, protocol, address })
    }

    /// What it is of.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// Where it is, with its number.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// Published ports of a container. They are free again when this is dropped, or the process ends.
#[derive(Debug)]
pub struct Published {
    /// The porter ends with it.
    _control: OwnedFd,
    /// Never waited for: it ends after us.
    _process: Child,
}

/// A part of the ports: of each its protocol and its number in the container. Carries their sockets, and with the last
/// part the namespace.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Part {
    pub(super) ports: Vec<(Protocol, u16)>,
    pub(super) is_last: bool,
}

/// What the porter says when it serves, or why it does not.
type Answer = Result<(), NetworkError>;

/// Connects ports of the host with those of a container, whose network namespace this is. They are the container's alone when the
/// caller has dropped its own.
///
/// # Errors
///
/// When no process can be started, or the namespace cannot be entered.
pub fn publish(namespace: BorrowedFd<'_>, ports: &[(HostPort, u16)]) -> Result<Published, NetworkError> {
    let (control, remote) =
        rustix::net::socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
            .or_network(|| String::from("socketpair(AF_UNIX, SOCK_SEQPACKET)"))?;
    let binary = engine_binary::path()
        .map_err(|error| NetworkError::Keeper { problem: format!("has no binary: {error}") })?;
    let process = Command::new(&binary)
        .arg0(PORTS)
        .env_clear()
        .stdin(Stdio::from(remote))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .or_network(|| format!("posix_spawn({binary:?})"))?;
    let tell = |part: &Part, fds: &[BorrowedFd<'_>]| {
        send(&control, part, fds).or_network(|| String::from("sendmsg(porter)"))
    };
    for batch in ports.chunks(BATCH_MAX) {
        let list = batch.iter().map(|(port, inside)| (port.protocol, *inside)).collect();
        let sockets: Vec<BorrowedFd<'_>> = batch.iter().map(|(port, _)| port.socket.as_fd()).collect();
        tell(&Part { ports: list, is_last: false }, &sockets)?;
    }
    tell(&Part { ports: Vec::new(), is_last: true }, &[namespace])?;
    let lost = || NetworkError::Keeper { problem: String::from("lost the process of published ports") };
    let (answer, _) =
        receive::<Answer>(&control).or_network(|| String::from("recvmsg(porter)"))?.ok_or_else(lost)?;
    answer.map(|()| Published { _control: control, _process: process })
}

/// The address of this network namespace under which it sends to others.
pub(super) fn own_address() -> IpAddr {
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0));
    let address = socket.and_then(|socket| {
        socket.connect(ELSEWHERE)?;
        Ok(socket.local_addr()?.ip())
    });
    address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}
