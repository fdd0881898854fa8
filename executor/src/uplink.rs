//! What a command has of a private network.

use std::os::fd::{AsFd, BorrowedFd};

use crate::capabilities::Capability;
use crate::error::SandboxError;
use crate::network::{self, Attachment, Connection, Unconnected};
use crate::spec::{Network, Spec};

/// The way out of a command, for a later sandbox if this one cannot have changed it.
#[derive(Debug)]
pub(crate) struct Uplink {
    way: Way,
    may_change: bool,
}

#[derive(Debug)]
enum Way {
    /// The command has no network, or that of somebody else.
    None,
    Connected(Connection),
    /// It gets one when it makes a socket.
    Unconnected(Unconnected),
}

impl Uplink {
    /// What a specification asks for: the network that was joined, or one of its own.
    pub(crate) fn take(spec: &Spec, attachment: Option<&Attachment>) -> Result<Self, SandboxError> {
        let way = match (spec.network, attachment) {
            (Network::Host | Network::None | Network::Joined, _) => Ok(Way::None),
            (Network::Private | Network::OnDemand(_), Some(attachment)) => {
                attachment.connection.again().map(Way::Connected)
            }
            (Network::Private, None) => network::take().map(Way::Connected),
            (Network::OnDemand(outlet), None) => network::take_unconnected(outlet).map(Way::Unconnected),
        };
        Ok(Self { way: way.map_err(SandboxError::Network)?, may_change: may_change(spec) })
    }

    pub(crate) fn connection(&self) -> Option<&Connection> {
        match &self.way {
            Way::Connected(connection) => Some(connection),
            Way::None | Way::Unconnected(_) => None,
        }
    }

    pub(crate) fn namespace(&self) -> Option<BorrowedFd<'_>> {
        match &self.way {
            Way::None => None,
            Way::Connected(connection) => Some(connection.namespace.as_fd()),
            Way::Unconnected(unconnected) => Some(unconnected.descriptor.as_fd()),
        }
    }

    /// What the sandbox needs of it: the namespace, and the gate unless it is connected later.
    pub(crate) fn descriptors(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        let gate = self.connection().map(|connection| connection.gate.as_fd());
        self.namespace().into_iter().chain(gate)
    }

    /// Lets no other command have the network namespace afterwards: somebody else is in it.
    pub(crate) fn keep_apart(&mut self) {
        self.may_change = true;
    }

    /// Connects what is not connected yet, and waits until it is.
    pub(crate) fn connect(&mut self) -> Result<(), SandboxError> {
        if let Way::Unconnected(unconnected) = &self.way {
            self.way = Way::Connected(network::connect(unconnected).map_err(SandboxError::Network)?);
        }
        Ok(())
    }

    /// The command is gone.
    pub(crate) fn give_back(&mut self) {
        match std::mem::replace(&mut self.way, Way::None) {
            _ if self.may_change => {}
            Way::None => {}
            Way::Connected(connection) => connection.give_back(),
            Way::Unconnected(unconnected) => unconnected.give_back(),
        }
    }
}

/// Whether the network namespace may be another one afterwards than it was before.
fn may_change(spec: &Spec) -> bool {
    Capability::from_name("NET_ADMIN").is_some_and(|name| spec.capabilities.contains(name))
        || spec.sysctls.iter().any(|(name, _)| name.starts_with("net."))
}
