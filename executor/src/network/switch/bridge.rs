//! The bridge of a network, and the links of containers to it.

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use nix::sched::CloneFlags;
use rustix::io::Errno;
use rustix::net::netdevice::name_to_index;
use rustix::net::netlink;

use super::super::firewall;
use super::super::keeper::{Namespace, in_child, open_own_namespace};
use super::super::links::{self, up};
use super::super::netlink::{Message, Netlink};
use super::super::routes;
use super::super::{NetworkError, OrNetwork};
use super::NAME_SERVER;
use super::endpoints::Block;
use super::message::{Join, SwitchPlan};
use super::outside::{self, Outside};

/// The name of the bridge in the namespace of the switch.
const BRIDGE: &str = "bridge0";
/// The name of the way out there, as outlets make it.
pub(super) const UPLINK: &str = "eth0";
/// How the names of the bridge's ports begin.
const PORT: &str = "veth";
/// Largest packet of an Ethernet.
const MTU: u32 = 1500;
/// The port of name servers.
const DOMAIN: u16 = 53;
/// What lets a namespace forward, by IPv4 and by IPv6.
const FORWARDING: [&str; 2] = ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"];
/// Whether the kernel knows IPv6 at all.
const IPV6: &str = "/proc/sys/net/ipv6";

/// The namespace of a switch with its bridge. Dropping it takes all of it away.
pub(super) struct Bridge {
    netlink: Netlink,
    index: u32,
    /// What keeps the way out.
    _outside: Outside,
    _namespace: OwnedFd,
    /// Numbers given to ports so far.
    ports: u32,
    has_outlet: bool,
    /// Whether IPv6 leads out as well.
    has_outlet6: bool,
    /// The host as containers see it.
    pub(super) host: Option<Ipv4Addr>,
}

/// What a container gets.
pub(super) struct Made {
    pub(super) namespace: Option<OwnedFd>,
    pub(super) name_server: Option<(UdpSocket, TcpListener)>,
    /// The port of the bridge.
    pub(super) port: String,
}

impl Bridge {
    /// Makes the bridge, and a way out if there shall be one and the machine has one.
    pub(super) fn open(plan: &SwitchPlan) -> Result<Self, NetworkError> {
        let family = Family::of(plan)?;
        let mut fds = in_child(libc::CLONE_NEWNET as u64, || inside(family))?.wait()?.into_iter();
        let lost = || NetworkError::Keeper { problem: String::from("lost a child process") };
        let mut next = || fds.next().ok_or_else(lost);
        let namespace = Namespace {
            descriptor: next()?,
            netlink: Netlink::from(next()?),
            diagnosis: next()?,
            pair: None,
        };
        let rules = Netlink::from(next()?);
        let outside = if plan.is_internal { Outside::default() } else { outside::connect(plan, &namespace)? };
        let (has_outlet, host) = (outside.way.is_some(), outside.host);
        if has_outlet {
            firewall::translate(&rules, plan.subnet, UPLINK)
                .or_network(|| String::from("netlink(NFT_MSG_NEWTABLE)"))?;
        }
        let Namespace { descriptor, netlink, .. } = namespace;
        let has_outlet6 = match &plan.ipv6 {
            Some(ipv6) if has_outlet => translated6(&netlink, &rules, ipv6.subnet, outside.uplink6()),
            _ => false,
        };
        let call = || format!("netlink(RTM_NEWLINK, {BRIDGE:?})");
        links::make_bridge(&netlink, BRIDGE, MTU).or_network(call)?;
        let index = name_to_index(&netlink.socket, BRIDGE).or_network(call)?;
        let subnet = Block::new(plan.subnet);
        let address = links::address_in(index, plan.gateway, plan.subnet.1, subnet.broadcast());
        let address6 = plan.ipv6.map(|ipv6| links::address6_in(index, ipv6.gateway, ipv6.subnet.1));
        netlink.request(&addressed(index, address, address6)).or_network(call)?;
        Ok(Self {
            netlink,
            index,
            _outside: outside,
            _namespace: descriptor,
            ports: 0,
            has_outlet,
            has_outlet6,
            host,
        })
    }

    /// Links a container, in a new namespace or in its own.
    pub(super) fn link(
        &mut self,
        plan: &SwitchPlan,
        join: &Join,
        Addresses { address, address6, mac }: Addresses,
        running: Option<&OwnedFd>,
    ) -> Result<Made, NetworkError> {
        let family = Family::of(plan)?;
        let fds = match running {
            None => in_child(libc::CLONE_NEWNET as u64, || container(None, family))?.wait()?,
            Some(namespace) => in_child(0, || container(Some(namespace), family))?.wait()?,
        };
        let lost = || NetworkError::Keeper { problem: String::from("lost a child process") };
        let mut fds = fds.into_iter();
        let mut next = || fds.next().ok_or_else(lost);
        let (descriptor, netlink) = (next()?, Netlink::from(next()?));
        let name_server = match running {
            None => Some((UdpSocket::from(next()?), TcpListener::from(next()?))),
            Some(_) => None,
        };
        let port = format!("{PORT}{}", self.ports);
        self.ports += 1;
        let call = || format!("netlink(RTM_NEWLINK, {port:?}, {:?})", join.interface);
        links::make_port(&self.netlink, &port, self.index, (&join.interface, mac), &descriptor, MTU)
            .or_network(call)?;
        let outside = name_to_index(&self.netlink.socket, &port).or_network(call)?;
        let inside = name_to_index(&netlink.socket, &join.interface).or_network(call)?;
        self.netlink.request(&with_ipv6_off(outside, [up(outside)])).or_network(call)?;
        let broadcast = Block::new(plan.subnet).broadcast();
        let address = links::address_in(inside, address, plan.subnet.1, broadcast);
        let address6 = address6.map(|(address, prefix)| links::address6_in(inside, address, prefix));
        netlink.request(&addressed(inside, address, address6)).or_network(call)?;
        // One that runs and has a way out already keeps it.
        let is_first = running.is_none() || !routes::has_default_route(&netlink).or_network(call)?;
        if self.has_outlet && is_first {
            netlink
                .request(&[routes::default_route(inside, plan.gateway)])
                .or_network(|| String::from("netlink(RTM_NEWROUTE)"))?;
        }
        if let Some(ipv6) = plan.ipv6.filter(|_| self.has_outlet6 && is_first) {
            netlink
                .request(&[routes::default_route6(inside, ipv6.gateway)])
                .or_network(|| String::from("netlink(RTM_NEWROUTE, IPv6)"))?;
        }
        let namespace = running.is_none().then_some(descriptor);
        Ok(Made { namespace, name_server, port })
    }

    /// Takes a port away, and with it the interface of the container. It may be gone already.
    pub(super) fn unlink(&self, port: &str) {
        if let Ok(index) = name_to_index(&self.netlink.socket, port) {
            let _ = self.netlink.request(&[links::remove(index)]);
        }
    }
}

/// What an interface of a container is given.
pub(super) struct Addresses {
    pub(super) address: Ipv4Addr,
    pub(super) address6: Option<(Ipv6Addr, u8)>,
    pub(super) mac: [u8; 6],
}

/// Which addresses a network has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Family {
    Ipv4,
    Both,
}

impl Family {
    fn of(plan: &SwitchPlan) -> Result<Self, NetworkError> {
        match plan.ipv6 {
            None => Ok(Self::Ipv4),
            Some(_) if fs::exists(IPV6).unwrap_or(false) => Ok(Self::Both),
            Some(_) => Err(NetworkError::Kernel {
                call: String::from("socket(AF_INET6)"),
                source: Errno::AFNOSUPPORT.into(),
            }),
        }
    }

    /// In a namespace: lets its interfaces have IPv6 addresses, whatever those of the host may.
    fn allow(self) -> Result<(), NetworkError> {
        if self == Self::Ipv4 {
            return Ok(());
        }
        ["all", "default"].into_iter().try_for_each(|which| {
            let switch = format!("{IPV6}/conf/{which}/disable_ipv6");
            fs::write(&switch, "0").or_network(|| format!("write({switch:?}, \"0\")"))
        })
    }
}

/// Whether there is a way out by IPv6: then what leaves by it has the address of the uplink. Without, or where the kernel cannot
/// translate, containers still reach each other.
fn translated6(netlink: &Netlink, rules: &Netlink, subnet: (Ipv6Addr, u8), uplink: &str) -> bool {
    routes::has_default_route6(netlink).unwrap_or(false)
        && firewall::translate6(rules, subnet, uplink).is_ok()
        && fs::exists(IPV6).unwrap_or(false)
}

/// Gives an interface its addresses, and sets it up. One without IPv6 addresses gets none for its link either.
fn addressed(index: u32, address: Message, address6: Option<Message>) -> Vec<Message> {
    match address6 {
        None => with_ipv6_off(index, [address, up(index)]),
        Some(address6) => vec![address, up(index), address6],
    }
}

fn with_ipv6_off<const N: usize>(index: u32, messages: [Message; N]) -> Vec<Message> {
    let first = fs::exists(IPV6).unwrap_or(false).then(|| links::without_ipv6(index));
    first.into_iter().chain(messages).collect()
}

/// In the new namespace of a switch: it forwards, and has sockets to set it up.
fn inside(family: Family) -> Result<Vec<OwnedFd>, NetworkError> {
    let mut fds = open_own_namespace()?;
    family.allow()?;
    for forwarding in &FORWARDING[..if family == Family::Both { 2 } else { 1 }] {
        fs::write(forwarding, "1").or_network(|| format!("write({forwarding:?}, \"1\")"))?;
    }
    let rules =
        Netlink::open(Some(netlink::NETFILTER)).or_network(|| String::from("socket(NETLINK_NETFILTER)"))?;
    fds.push(rules.socket);
    Ok(fds)
}

/// In the namespace of a container: it, and a socket to set it up. A new one also has the sockets of its name server.
fn container(running: Option<&OwnedFd>, family: Family) -> Result<Vec<OwnedFd>, NetworkError> {
    if let Some(namespace) = running {
        nix::sched::setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)
            .or_network(|| String::from("setns(CLONE_NEWNET)"))?;
    }
    let mut fds = open_own_namespace()?;
    family.allow()?;
    fds.truncate(2);
    if running.is_none() {
        let address = SocketAddr::from((NAME_SERVER, DOMAIN));
        let datagrams = UdpSocket::bind(address).or_network(|| format!("bind(udp, {address})"))?;
        let streams = TcpListener::bind(address).or_network(|| format!("bind(tcp, {address})"))?;
        fds.extend([OwnedFd::from(datagrams), OwnedFd::from(streams)]);
    }
    Ok(fds)
}
