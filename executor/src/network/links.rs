//! Interfaces, addresses and routes, see rtnetlink(7).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, OwnedFd};

use rustix::io::Errno;

use super::netlink::{Attributes, Message, Netlink, attribute, number, text};

// Attributes of interfaces (`linux/if_link.h`).
const IFLA_ADDRESS: u16 = 1;
const IFLA_IFNAME: u16 = 3;
const IFLA_MTU: u16 = 4;
const IFLA_MASTER: u16 = 10;
const IFLA_LINKINFO: u16 = 18;
const IFLA_INFO_KIND: u16 = 1;
const IFLA_INFO_DATA: u16 = 2;
const IFLA_AF_SPEC: u16 = 26;
const IFLA_NET_NS_FD: u16 = 28;
const IFLA_INET6_ADDR_GEN_MODE: u16 = 8;
const VETH_INFO_PEER: u16 = 1;
/// No address without a word from us.
const IN6_ADDR_GEN_MODE_NONE: u8 = 1;

// Attributes of addresses and routes (`linux/if_addr.h`, `linux/rtnetlink.h`).
const IFA_ADDRESS: u16 = 1;
const IFA_LOCAL: u16 = 2;
const IFA_BROADCAST: u16 = 4;
/// Used at once: nobody else can have an address that we gave away.
const IFA_F_NODAD: u8 = 2;
/// Length of `struct ifinfomsg`.
const LINK_HEADER_BYTES: usize = 16;
/// Number of the loopback interface in every namespace.
pub(crate) const LOOPBACK: u32 = 1;

/// An interface of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Link {
    pub(crate) index: u32,
    pub(crate) name: String,
    pub(crate) mtu: u32,
}

/// All interfaces of the namespace.
pub(crate) fn links(netlink: &Netlink) -> Result<Vec<Link>, Errno> {
    let request = Message {
        kind: libc::RTM_GETLINK,
        flags: 0,
        header: link_header(0, 0),
        attributes: Attributes::new(),
    };
    Ok(netlink.dump(&request)?.iter().filter_map(|answer| link(answer)).collect())
}

fn link(answer: &[u8]) -> Option<Link> {
    let list = answer.get(LINK_HEADER_BYTES..)?;
    Some(Link {
        index: answer.get(4..8).and_then(number)?,
        name: text(attribute(list, IFLA_IFNAME)?),
        mtu: attribute(list, IFLA_MTU).and_then(number)?,
    })
}

/// A new pair of interfaces: one here, the other in `namespace`. Both vanish with either namespace.
pub(crate) fn make_pair(
    netlink: &Netlink,
    name: &str,
    peer_name: &str,
    namespace: &OwnedFd,
    mtu: u32,
) -> Result<(), Errno> {
    let descriptor = u32::try_from(namespace.as_raw_fd()).expect("descriptors are not negative");
    let peer = Attributes::after(link_header(0, 0)).text(IFLA_IFNAME, peer_name).u32(IFLA_MTU, mtu);
    let data = Attributes::new().nested(VETH_INFO_PEER, &peer.u32(IFLA_NET_NS_FD, descriptor));
    let info = Attributes::new().text(IFLA_INFO_KIND, "veth").nested(IFLA_INFO_DATA, &data);
    netlink.request(&[Message {
        kind: libc::RTM_NEWLINK,
        flags: libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL,
        header: link_header(0, 0),
        attributes: Attributes::new().text(IFLA_IFNAME, name).u32(IFLA_MTU, mtu).nested(IFLA_LINKINFO, &info),
    }])
}

/// A new bridge, see bridge(8).
pub(crate) fn make_bridge(netlink: &Netlink, name: &str, mtu: u32) -> Result<(), Errno> {
    let info = Attributes::new().text(IFLA_INFO_KIND, "bridge");
    netlink.request(&[Message {
        kind: libc::RTM_NEWLINK,
        flags: libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL,
        header: link_header(0, 0),
        attributes: Attributes::new().text(IFLA_IFNAME, name).u32(IFLA_MTU, mtu).nested(IFLA_LINKINFO, &info),
    }])
}

/// A new pair of interfaces: a port of a bridge here, the other in `namespace` under a name and a hardware address.
pub(crate) fn make_port(
    netlink: &Netlink,
    name: &str,
    bridge: u32,
    (peer_name, mac): (&str, [u8; 6]),
    namespace: &OwnedFd,
    mtu: u32,
) -> Result<(), Errno> {
    let descriptor = u32::try_from(namespace.as_raw_fd()).expect("descriptors are not negative");
    let peer = Attributes::after(link_header(0, 0)).text(IFLA_IFNAME, peer_name).u32(IFLA_MTU, mtu);
    let peer = peer.bytes(IFLA_ADDRESS, &mac).u32(IFLA_NET_NS_FD, descriptor);
    let data = Attributes::new().nested(VETH_INFO_PEER, &peer);
    let info = Attributes::new().text(IFLA_INFO_KIND, "veth").nested(IFLA_INFO_DATA, &data);
    netlink.request(&[Message {
        kind: libc::RTM_NEWLINK,
        flags: libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL,
        header: link_header(0, 0),
        attributes: Attributes::new()
            .text(IFLA_IFNAME, name)
            .u32(IFLA_MTU, mtu)
            .u32(IFLA_MASTER, bridge)
            .nested(IFLA_LINKINFO, &info),
    }])
}

/// Limits the packets of an interface.
pub(crate) fn mtu(index: u32, mtu: u32) -> Message {
    let (header, attributes) = (link_header(index, 0), Attributes::new().u32(IFLA_MTU, mtu));
    Message { kind: libc::RTM_SETLINK, flags: libc::NLM_F_ACK, header, attributes }
}

/// Removes an interface, and its peer if it has one.
pub(crate) fn remove(index: u32) -> Message {
    let header = link_header(index, 0);
    Message { kind: libc::RTM_DELLINK, flags: libc::NLM_F_ACK, header, attributes: Attributes::new() }
}

/// Keeps an interface without IPv6 addresses, that of its link included.
pub(crate) fn without_ipv6(index: u32) -> Message {
    let mode = Attributes::new().bytes(IFLA_INET6_ADDR_GEN_MODE, &[IN6_ADDR_GEN_MODE_NONE]);
    let families = Attributes::new().nested(libc::AF_INET6 as u16, &mode);
    let attributes = Attributes::new().nested(IFLA_AF_SPEC, &families);
    Message { kind: libc::RTM_SETLINK, flags: libc::NLM_F_ACK, header: link_header(index, 0), attributes }
}

/// Sets an interface up.
pub(crate) fn up(index: u32) -> Message {
    let header = link_header(index, libc::IFF_UP as u32);
    Message { kind: libc::RTM_SETLINK, flags: libc::NLM_F_ACK, header, attributes: Attributes::new() }
}

/// Gives an interface an address, and makes the peer's reachable through it.
pub(crate) fn address(index: u32, own: Ipv4Addr, peer: Ipv4Addr) -> Message {
    let mut header = vec![libc::AF_INET as u8, 32, 0, libc::RT_SCOPE_UNIVERSE];
    header.extend(index.to_ne_bytes());
    Message {
        kind: libc::RTM_NEWADDR,
        flags: libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL,
        header,
        attributes: Attributes::new().bytes(IFA_LOCAL, &own.octets()).bytes(IFA_ADDRESS, &peer.octets()),
    }
}

/// Gives an interface an address in a subnet.
pub(crate) fn address_in(index: u32, own: Ipv4Addr, prefix: u8, broadcast: Ipv4Addr) -> Message {
    let mut header = vec![libc::AF_INET as u8, prefix, 0, libc::RT_SCOPE_UNIVERSE];
    header.extend(index.to_ne_bytes());
    let own = own.octets();
    Message {
        kind: libc::RTM_NEWADDR,
        flags: libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL,
        header,
        attributes: Attributes::new()
            .bytes(IFA_LOCAL, &own)
            .bytes(IFA_ADDRESS, &own)
            .bytes(IFA_BROADCAST, &broadcast.octets()),
    }
}

/// Gives an interface an IPv6 address in a subnet.
pub(crate) fn address6_in(index: u32, own: Ipv6Addr, prefix: u8) -> Message {
    let mut header = vec![libc::AF_INET6 as u8, prefix, IFA_F_NODAD, libc::RT_SCOPE_UNIVERSE];
    header.extend(index.to_ne_bytes());
    let own = own.octets();
    Message {
        kind: libc::RTM_NEWADDR,
        flags: libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL,
        header,
        attributes: Attributes::new().bytes(IFA_LOCAL, &own).bytes(IFA_ADDRESS, &own),
    }
}

/// A `struct ifinfomsg`; `flags` are set, all others stay.
fn link_header(index: u32, flags: u32) -> Vec<u8> {
    let mut header = vec![0; 4];
    header.extend(index.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header.extend(flags.to_ne_bytes());
    header
}
