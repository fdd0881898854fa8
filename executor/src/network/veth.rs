//! Namespaces that the host's kernel connects: a pair of interfaces each, forwarding, translation of addresses.
//!
//! There is no bridge: each sandbox has a link of its own to the host, so that none can pose as another, or as
//! the gateway. The name of the host's end is what reserves an address: the kernel allows each name once, for all
//! keepers of the host, and frees it with its namespace.

use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;

use super::addresses::{PREFIX, Pool, SANDBOXES_MAX};
use super::firewall::{self, Firewall};
use super::forwarding::{Forwarding, switch};
use super::keeper::Namespace;
use super::links::{self, Link};
use super::netlink::{Message, Netlink, ROUTE};
use super::routes::{self, Route};
use super::{NetworkError, OrNetwork};

/// How the names of the host's interfaces for sandboxes begin.
const INTERFACES: &str = "slipway";

/// The name of a sandbox's interface, as in Docker.
pub(super) const INSIDE: &str = "eth0";

/// Largest packet of an Ethernet, for a host without any way out.
pub(super) const MTU_DEFAULT: u32 = 1500;

/// What all sandboxes of this keeper share. Fields are dropped in this order.
pub(crate) struct Veth {
    netlink: Netlink,
    forwarding: Forwarding,
    _firewall: Firewall,
    pool: Pool,
    mtu: u32,
    /// The number to try first.
    next: u32,
}

impl Veth {
    pub(crate) fn open() -> Result<Self, NetworkError> {
        let call = || String::from("netlink(RTM_GETLINK, RTM_GETROUTE)");
        let netlink = Netlink::open(ROUTE).or_network(call)?;
        let all = links::links(&netlink).or_network(call)?;
        let routes = routes::routes(&netlink).or_network(call)?;
        let own: Vec<u32> =
            all.iter().filter(|link| link.name.starts_with(INTERFACES)).map(|link| link.index).collect();
        let pool = Pool::unused(&routes, &own).ok_or(NetworkError::NoAddresses)?;
        let uplinks = uplinks(&all, &routes, &own);
        let names: Vec<String> = uplinks.iter().map(|link| link.name.clone()).collect();
        let rules = firewall::open().or_network(|| String::from("socket(NETLINK_NETFILTER)"))?;
        let rules = Rc::new(rules);
        let forwarding = Forwarding::switch_on(Rc::clone(&rules), &names, INTERFACES)
            .or_network(|| format!("switch on forwarding of {names:?}"))?;
        let firewall = Firewall::set_up(rules, INTERFACES, (pool.0, PREFIX), &forwarding.switched_on)
            .or_network(|| String::from("netlink(NFT_MSG_NEWTABLE)"))?;
        let mtu = uplinks.iter().map(|link| link.mtu).min().unwrap_or(MTU_DEFAULT).min(MTU_DEFAULT);
        Ok(Self { netlink, forwarding, _firewall: firewall, pool, mtu, next: 0 })
    }

    pub(crate) fn gateway(&self) -> Ipv4Addr {
        self.pool.gateway()
    }

    pub(crate) fn switched_on(&self) -> &[String] {
        &self.forwarding.switched_on
    }

    /// Gives a new namespace its interface, addresses and route. Returns the number of the host's end,
    /// and the address of the other one.
    pub(crate) fn connect(&mut self, namespace: &Namespace) -> Result<(u32, Ipv4Addr), NetworkError> {
        let (number, name) = match namespace.pair {
            Some(number) => (number, name(number)),
            None => {
                namespace.clear()?;
                self.make_pair(&namespace.descriptor)?
            }
        };
        let (host, sandbox) = (self.pool.gateway(), self.pool.sandbox(number));
        let outside = name_to_index(&self.netlink.socket, &name)
            .or_network(|| format!("ioctl(SIOCGIFINDEX, {name:?})"))?;
        let inside = name_to_index(&namespace.netlink.socket, INSIDE)
            .or_network(|| format!("ioctl(SIOCGIFINDEX, {INSIDE:?})"))?;
        let call = || format!("netlink(RTM_NEWADDR, {name:?})");
        let mut messages = set_up(outside, host, sandbox);
        messages.extend(self.limit(namespace, outside));
        self.netlink.request(&messages).or_network(call)?;
        switch(&name, "1").or_network(|| format!("switch on forwarding of {name:?}"))?;
        let mut messages = set_up(inside, sandbox, host);
        messages.push(routes::default_route(inside, host));
        messages.extend(self.limit(namespace, inside));
        namespace.netlink.request(&messages).or_network(|| format!("netlink(RTM_NEWADDR, {INSIDE:?})"))?;
        Ok((outside, sandbox))
    }

    /// A pair that was made before us knew nothing of our uplinks.
    fn limit(&self, namespace: &Namespace, index: u32) -> Option<Message> {
        let is_too_large = namespace.pair.is_some() && self.mtu != MTU_DEFAULT;
        is_too_large.then(|| links::mtu(index, self.mtu))
    }

    /// Whether the host has a way out by IPv6, which namespaces do not get here: the kernel forwards IPv6 for all interfaces of a
    /// host or for none, and a host that forwards no longer listens to its router.
    pub(crate) fn lacks_ipv6(&self) -> bool {
        routes::has_default_route6(&self.netlink).unwrap_or(false)
    }

    /// Lets the host reach further addresses behind a namespace. Somebody else may have a route to them: then it cannot.
    pub(crate) fn route(&self, (outside, gateway): (u32, Ipv4Addr), subnet: (Ipv4Addr, u8)) {
        let _ = self.netlink.request(&[routes::route_to(outside, gateway, subnet)]);
    }

    fn make_pair(&mut self, namespace: &OwnedFd) -> Result<(u32, String), NetworkError> {
        let number = make_pair(&self.netlink, namespace, self.next, self.mtu)?;
        self.next = (number + 1) % SANDBOXES_MAX;
        Ok((number, name(number)))
    }
}

/// Makes a pair of interfaces with one end in `namespace`. Its number is `first`, or one after it that is free.
pub(super) fn make_pair(
    netlink: &Netlink,
    namespace: &OwnedFd,
    first: u32,
    mtu: u32,
) -> Result<u32, NetworkError> {
    for number in (0..SANDBOXES_MAX).map(|count| (first + count) % SANDBOXES_MAX) {
        match links::make_pair(netlink, &name(number), INSIDE, namespace, mtu) {
            Err(Errno::EXIST) => {}
            result => {
                return result.map(|()| number).or_network(|| String::from("netlink(RTM_NEWLINK, veth)"));
            }
        }
    }
    Err(NetworkError::NoAddresses)
}

/// The name of the host's end.
fn name(number: u32) -> String {
    format!("{INTERFACES}{number}")
}

/// Interfaces through which packets leave the host.
fn uplinks<'a>(all: &'a [Link], routes: &[Route], own: &[u32]) -> Vec<&'a Link> {
    let used: BTreeSet<u32> = routes.iter().flat_map(|route| route.interfaces.iter().copied()).collect();
    let is_uplink = |link: &&Link| {
        link.index != links::LOOPBACK && used.contains(&link.index) && !own.contains(&link.index)
    };
    all.iter().filter(is_uplink).collect()
}

fn set_up(index: u32, own: Ipv4Addr, peer: Ipv4Addr) -> Vec<Message> {
    let mut messages = Vec::new();
    if std::path::Path::new("/proc/sys/net/ipv6").exists() {
        messages.push(links::without_ipv6(index));
    }
    messages.extend([links::up(index), links::address(index, own, peer)]);
    messages
}
