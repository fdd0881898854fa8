//! Whether a sandbox left something behind in its network namespace, see sock_diag(7).

use std::os::fd::OwnedFd;

use rustix::io::Errno;

use super::netlink::{Attributes, Message, Netlink};

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;

/// Length of `struct inet_diag_req_v2`.
const REQUEST_BYTES: usize = 56;

/// Whether no TCP connection is left, not even one that only waits for its last packets: those keep their ports,
/// so that the next command could not listen there. All other sockets end with their processes.
pub(crate) fn is_quiet(diagnosis: OwnedFd) -> Result<bool, Errno> {
    let netlink = Netlink::from(diagnosis);
    for family in [libc::AF_INET, libc::AF_INET6] {
        match netlink.dump(&all_tcp(family as u8)) {
            Ok(sockets) if sockets.is_empty() => {}
            // A kernel without this family has no sockets of it.
            Err(Errno::NOENT) => {}
            other => return other.map(|_| false),
        }
    }
    Ok(true)
}

/// A `struct inet_diag_req_v2` that matches sockets in every state.
fn all_tcp(family: u8) -> Message {
    let mut header = vec![family, libc::IPPROTO_TCP as u8, 0, 0];
    header.extend(u32::MAX.to_ne_bytes());
    header.resize(REQUEST_BYTES, 0);
    Message { kind: BY_FAMILY, flags: 0, header, attributes: Attributes::new() }
}
