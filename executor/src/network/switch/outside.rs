//! The way out of a network that containers share.

use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;

use super::super::keeper::{self, Namespace, Way};
use super::super::usermode::UserMode;
use super::super::{NetworkError, OrNetwork};
use super::bridge::UPLINK;
use super::message::SwitchPlan;

/// The interface by which IPv6 leaves the network, where another one has the rest.
const UPLINK6: &str = "out6";

/// What leads out of a network, for as long as this is there.
#[derive(Default)]
pub(super) struct Outside {
    pub(super) way: Option<Way>,
    /// Keeps what connects it.
    _end: Option<OwnedFd>,
    /// The same for IPv6, where that is something else.
    end6: Option<OwnedFd>,
    pub(super) host: Option<Ipv4Addr>,
}

impl Outside {
    /// The interface by which IPv6 leaves, if it does.
    pub(super) fn uplink6(&self) -> &'static str {
        if self.end6.is_some() { UPLINK6 } else { UPLINK }
    }
}

/// The way out, if the machine has one: without, containers still reach each other.
pub(super) fn connect(plan: &SwitchPlan, namespace: &Namespace) -> Result<Outside, NetworkError> {
    let Ok((mut way, network)) = keeper::open() else { return Ok(Outside::default()) };
    let (end, end6) = match &mut way {
        Way::Veth(veth) => {
            let outside = veth.connect(namespace)?;
            veth.route(outside, plan.subnet);
            (None, if plan.ipv6.is_some() && veth.lacks_ipv6() { by_ipv6(namespace) } else { None })
        }
        Way::UserMode(mode) => match through(mode, namespace)? {
            None => return Ok(Outside::default()),
            end => (end, None),
        },
    };
    Ok(Outside { way: Some(way), _end: end, end6, host: network.host })
}

/// A way out by IPv6 alone, on a machine with the program for it.
fn by_ipv6(namespace: &Namespace) -> Option<OwnedFd> {
    let mut mode = UserMode::open_ipv6(UPLINK6).ok()?;
    through(&mut mode, namespace).ok().flatten()
}

/// Lets a program connect the namespace. What keeps it connected; nothing when it cannot.
fn through(mode: &mut UserMode, namespace: &Namespace) -> Result<Option<OwnedFd>, NetworkError> {
    let pipe =
        || rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC).or_network(|| String::from("pipe2()"));
    let ((gate, opener), (end, lifeline)) = (pipe()?, pipe()?);
    mode.connect(namespace, &opener, &end)?;
    drop(opener);
    let mut reason = [0; 1];
    let count = rustix::io::retry_on_intr(|| rustix::io::read(&gate, &mut reason))
        .or_network(|| String::from("read(gate of the network)"))?;
    Ok((count == 0).then_some(lifeline))
}
