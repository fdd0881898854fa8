//! Routes, see rtnetlink(7).

use std::net::{Ipv4Addr, Ipv6Addr};

use rustix::io::Errno;

use super::links::LOOPBACK;
use super::netlink::{Attributes, Message, Netlink, attribute, number};

// Attributes of routes (`linux/rtnetlink.h`).

const RTA_DST: u16 = 1;
const RTA_OIF: u16 = 4;
const RTA_GATEWAY: u16 = 5;
const RTA_MULTIPATH: u16 = 9;
/// Length of `struct rtmsg`.
const ROUTE_HEADER_BYTES: usize = 12;
/// Length of `struct rtnexthop`.
const NEXT_HOP_BYTES: usize = 8;

/// A route of the host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Route {
    pub(crate) destination: Ipv4Addr,
    pub(crate) prefix: u8,
    /// Where its packets leave.
    pub(crate) interfaces: Vec<u32>,
}

/// All IPv4 routes of the namespace, those of its own addresses included.
pub(crate) fn routes(netlink: &Netlink) -> Result<Vec<Route>, Errno> {
    let mut header = vec![0; ROUTE_HEADER_BYTES];
    header[0] = libc::AF_INET as u8;
    let request = Message { kind: libc::RTM_GETROUTE, flags: 0, header, attributes: Attributes::new() };
    Ok(netlink.dump(&request)?.iter().filter_map(|answer| route(answer)).collect())
}

fn route(answer: &[u8]) -> Option<Route> {
    let list = answer.get(ROUTE_HEADER_BYTES..)?;
    let destination = match attribute(list, RTA_DST) {
        Some(address) => Ipv4Addr::from(<[u8; 4]>::try_from(address).ok()?),
        None => Ipv4Addr::UNSPECIFIED,
    };
    let mut interfaces: Vec<u32> = attribute(list, RTA_OIF).and_then(number).into_iter().collect();
    interfaces.extend(attribute(list, RTA_MULTIPATH).map(next_hops).unwrap_or_default());
    Some(Route { destination, prefix: *answer.get(1)?, interfaces })
}

fn next_hops(mut bytes: &[u8]) -> Vec<u32> {
    let mut interfaces = Vec::new();
    while let Some(hop) = bytes.get(..NEXT_HOP_BYTES) {
        interfaces.extend(number(&hop[4..]));
        let length = usize::from(u16::from_ne_bytes([hop[0], hop[1]])).max(NEXT_HOP_BYTES);
        bytes = bytes.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    interfaces
}

/// Whether the namespace has a route to everywhere by IPv6, through an interface that is not its own loopback.
pub(crate) fn has_default_route6(netlink: &Netlink) -> Result<bool, Errno> {
    let mut header = vec![0; ROUTE_HEADER_BYTES];
    header[0] = libc::AF_INET6 as u8;
    let request = Message { kind: libc::RTM_GETROUTE, flags: 0, header, attributes: Attributes::new() };
    let leads_out = |answer: &Vec<u8>| {
        let list = answer.get(ROUTE_HEADER_BYTES..).unwrap_or_default();
        let is_default = answer.get(1) == Some(&0) && answer.get(7) == Some(&libc::RTN_UNICAST);
        let interface: Option<u32> = attribute(list, RTA_OIF).and_then(number);
        is_default && interface.is_some_and(|index| index != LOOPBACK)
    };
    Ok(netlink.dump(&request)?.iter().any(leads_out))
}

/// Whether the namespace has a route to everywhere.
pub(crate) fn has_default_route(netlink: &Netlink) -> Result<bool, Errno> {
    Ok(routes(netlink)?.iter().any(|route| route.prefix == 0))
}

/// Sends what is for a subnet to `gateway`, which is behind an interface.
pub(crate) fn route_to(index: u32, gateway: Ipv4Addr, (destination, prefix): (Ipv4Addr, u8)) -> Message {
    let mut message = default_route(index, gateway);
    message.header[1] = prefix;
    message.attributes = message.attributes.bytes(RTA_DST, &destination.octets());
    message
}

/// Sends everything without a better route to `gateway`.
pub(crate) fn default_route(index: u32, gateway: Ipv4Addr) -> Message {
    through(libc::AF_INET, index, &gateway.octets())
}

/// The same by IPv6.
pub(crate) fn default_route6(index: u32, gateway: Ipv6Addr) -> Message {
    through(libc::AF_INET6, index, &gateway.octets())
}

fn through(family: i32, index: u32, gateway: &[u8]) -> Message {
    let mut header = vec![0; ROUTE_HEADER_BYTES];
    header[0] = family as u8;
    header[4] = libc::RT_TABLE_MAIN;
    header[5] = libc::RTPROT_BOOT;
    header[6] = libc::RT_SCOPE_UNIVERSE;
    header[7] = libc::RTN_UNICAST;
    Message {
        kind: libc::RTM_NEWROUTE,
        flags: libc::NLM_F_ACK | libc::NLM_F_CREATE | libc::NLM_F_EXCL,
        header,
        attributes: Attributes::new().u32(RTA_OIF, index).bytes(RTA_GATEWAY, gateway),
    }
}
