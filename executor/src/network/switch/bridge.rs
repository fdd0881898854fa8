//! The bridge of a network, and the links of containers to it.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::os::fd::{AsFd, OwnedFd};

use nix::sched::CloneFlags;
use rustix::net::netdevice::name_to_index;
use rustix::net::netlink;

use super::super::firewall;
use super::super::keeper::{self, Namespace, Way, in_child, open_own_namespace};
use super::super::links::{self, up};
use super::super::netlink::Netlink;
use super::super::{NetworkError, OrNetwork};
use super::NAME_SERVER;
use super::endpoints::Block;
use super::message::{Join, SwitchPlan};

/// The name of the bridge in the namespace of the switch.
const BRIDGE: &str = "bridge0";
/// The name of the way out there, as outlets make it.
const UPLINK: &str = "eth0";
/// How the names of the bridge's ports begin.
const PORT: &str = "veth";
/// Largest packet of an Ethernet.
const MTU: u32 = 1500;
/// The port of name servers.
const DOMAIN: u16 = 53;
/// Whether the kernel knows IPv6 at all.
const IPV6: &str = "/proc/sys/net/ipv6";

/// The namespace of a switch with its bridge. Dropping it takes all of it away.
pub(super) struct Bridge {
    netlink: Netlink,
    index: u32,
    /// What keeps the way out.
    _way: Option<Way>,
    _end: Option<OwnedFd>,
    _namespace: OwnedFd,
    /// Numbers given to ports so far.
    ports: u32,
    has_outlet: bool,
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
        let mut fds = in_child(libc::CLONE_NEWNET as u64, inside)?.wait()?.into_iter();
        let lost = || NetworkError::Keeper { problem: String::from("lost a child process") };
        let mut next = || fds.next().ok_or_else(lost);
        let namespace = Namespace {
            descriptor: next()?,
            netlink: Netlink::from(next()?),
            diagnosis: next()?,
            pair: None,
        };
        let rules = Netlink::from(next()?);
        let Outside { way, end, host } =
            if plan.is_internal { Outside::default() } else { connect(plan, &namespace)? };
        let has_outlet = way.is_some();
        if has_outlet {
            firewall::translate(&rules, plan.subnet, UPLINK)
                .or_network(|| String::from("netlink(NFT_MSG_NEWTABLE)"))?;
        }
        let Namespace { descriptor, netlink, .. } = namespace;
        let call = || format!("netlink(RTM_NEWLINK, {BRIDGE:?})");
        links::make_bridge(&netlink, BRIDGE, MTU).or_network(call)?;
        let index = name_to_index(&netlink.socket, BRIDGE).or_network(call)?;
        let subnet = Block::new(plan.subnet);
        let address = links::address_in(index, plan.gateway, plan.subnet.1, subnet.broadcast());
        netlink.request(&with_ipv6_off(index, [address, up(index)])).or_network(call)?;
        Ok(Self { netlink, index, _way: way, _end: end, _namespace: descriptor, ports: 0, has_outlet, host })
    }

    /// Links a container, in a new namespace or in its own.
    pub(super) fn link(
        &mut self,
        plan: &SwitchPlan,
        join: &Join,
        (address, mac): (Ipv4Addr, [u8; 6]),
        running: Option<&OwnedFd>,
    ) -> Result<Made, NetworkError> {
        let fds = match running {
            None => in_child(libc::CLONE_NEWNET as u64, || container(None))?.wait()?,
            Some(namespace) => in_child(0, || container(Some(namespace)))?.wait()?,
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
        netlink.request(&with_ipv6_off(inside, [address, up(inside)])).or_network(call)?;
        // One that runs and has a way out already keeps it.
        let is_first = running.is_none() || !links::has_default_route(&netlink).or_network(call)?;
        if self.has_outlet && is_first {
            netlink
                .request(&[links::default_route(inside, plan.gateway)])
                .or_network(|| String::from("netlink(RTM_NEWROUTE)"))?;
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

/// What leads out of a network.
#[derive(Default)]
struct Outside {
    way: Option<Way>,
    /// Keeps what connects it.
    end: Option<OwnedFd>,
    host: Option<Ipv4Addr>,
}

/// The way out, if the machine has one: without, containers still reach each other.
fn connect(plan: &SwitchPlan, namespace: &Namespace) -> Result<Outside, NetworkError> {
    let Ok((mut way, network)) = keeper::open() else { return Ok(Outside::default()) };
    let (gate, opener) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).or_network(|| String::from("pipe2()"))?;
    let (end, lifeline) =
        rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).or_network(|| String::from("pipe2()"))?;
    match &mut way {
        Way::Veth(veth) => {
            let outside = veth.connect(namespace)?;
            veth.route(outside, plan.subnet);
        }
        Way::UserMode(mode) => mode.connect(namespace, &opener, &end)?,
    }
    drop(opener);
    let mut reason = [0; 1];
    let count = rustix::io::retry_on_intr(|| rustix::io::read(&gate, &mut reason))
        .or_network(|| String::from("read(gate of the network)"))?;
    let outside = Outside { way: Some(way), end: Some(lifeline), host: network.host };
    Ok(if count == 0 { outside } else { Outside::default() })
}

fn with_ipv6_off<const N: usize>(
    index: u32,
    messages: [super::super::netlink::Message; N],
) -> Vec<super::super::netlink::Message> {
    let first = fs::exists(IPV6).unwrap_or(false).then(|| links::without_ipv6(index));
    first.into_iter().chain(messages).collect()
}

/// In the new namespace of a switch: it forwards, and has sockets to set it up.
fn inside() -> Result<Vec<OwnedFd>, NetworkError> {
    let mut fds = open_own_namespace()?;
    let forwarding = "/proc/sys/net/ipv4/ip_forward";
    fs::write(forwarding, "1").or_network(|| format!("write({forwarding:?}, \"1\")"))?;
    let rules =
        Netlink::open(Some(netlink::NETFILTER)).or_network(|| String::from("socket(NETLINK_NETFILTER)"))?;
    fds.push(rules.socket);
    Ok(fds)
}

/// In the namespace of a container: it, and a socket to set it up. A new one also has the sockets of its name server.
fn container(running: Option<&OwnedFd>) -> Result<Vec<OwnedFd>, NetworkError> {
    if let Some(namespace) = running {
        nix::sched::setns(namespace.as_fd(), CloneFlags::CLONE_NEWNET)
            .or_network(|| String::from("setns(CLONE_NEWNET)"))?;
    }
    let mut fds = open_own_namespace()?;
    fds.truncate(2);
    if running.is_none() {
        let address = SocketAddr::from((NAME_SERVER, DOMAIN));
        let datagrams = UdpSocket::bind(address).or_network(|| format!("bind(udp, {address})"))?;
        let streams = TcpListener::bind(address).or_network(|| format!("bind(tcp, {address})"))?;
        fds.extend([OwnedFd::from(datagrams), OwnedFd::from(streams)]);
    }
    Ok(fds)
}
