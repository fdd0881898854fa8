//! What a command has of a private network.

use std::os::fd::{AsFd, BorrowedFd};

use crate::capabilities::Capability;
use crate::error::SandboxError;
use crate::network::{self, Attachment, Connection};
use crate::spec::{Network, Spec};

/// The way out of a command, for a later sandbox if this one cannot have changed it; none in any other network.
#[derive(Debug)]
pub(crate) struct Uplink {
    connection: Option<Connection>,
    may_change: bool,
}

impl Uplink {
    /// What a specification asks for: the network that was joined, or one of its own.
    pub(crate) fn take(spec: &Spec, attachment: Option<&Attachment>) -> Result<Self, SandboxError> {
        let connection = match (spec.network, attachment) {
            (Network::Host | Network::None | Network::Joined, _) => None,
            (Network::Private, Some(attachment)) => Some(attachment.connection.again()),
            (Network::Private, None) => Some(network::take()),
        };
        let connection = connection.transpose().map_err(SandboxError::Network)?;
        Ok(Self { connection, may_change: may_change(spec) })
    }

    pub(crate) fn connection(&self) -> Option<&Connection> {
        self.connection.as_ref()
    }

    pub(crate) fn namespace(&self) -> Option<BorrowedFd<'_>> {
        self.connection().map(|connection| connection.namespace.as_fd())
    }

    /// Lets no other command have the network namespace afterwards: somebody else is in it.
    pub(crate) fn keep_apart(&mut self) {
        self.may_change = true;
    }

    /// The command is gone.
    pub(crate) fn give_back(&mut self) {
        if let Some(connection) = self.connection.take()
            && !self.may_change
        {
            connection.give_back();
        }
    }
}

/// Whether the network namespace may be another one afterwards than it was before.
fn may_change(spec: &Spec) -> bool {
    Capability::from_name("NET_ADMIN").is_some_and(|name| spec.capabilities.contains(name))
        || spec.sysctls.iter().any(|(name, _)| name.starts_with("net."))
}
