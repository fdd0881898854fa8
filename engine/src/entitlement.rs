//! What a build may do to the machine that the user has to allow.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use graph::{Network, Run, Security};

/// Something that a Dockerfile gets only when the user of the build says so. Names are BuildKit's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entitlement {
    /// Steps in the network of the host.
    NetworkHost,
    /// Steps without restrictions.
    SecurityInsecure,
}

/// What the user of a build allows.
pub type Entitlements = BTreeSet<Entitlement>;

/// A text that names no entitlement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown entitlement {name}, expected network.host or security.insecure")]
pub struct UnknownEntitlement {
    /// The text.
    pub name: String,
}

impl Entitlement {
    /// What a step needs.
    pub(crate) fn needed_by(run: &Run) -> Vec<Self> {
        let network = (run.network == Network::Host).then_some(Self::NetworkHost);
        let security = (run.security == Security::Insecure).then_some(Self::SecurityInsecure);
        network.into_iter().chain(security).collect()
    }
}

impl fmt::Display for Entitlement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::NetworkHost => "network.host",
            Self::SecurityInsecure => "security.insecure",
        })
    }
}

impl FromStr for Entitlement {
    type Err = UnknownEntitlement;

    fn from_str(text: &str) -> Result<Self, UnknownEntitlement> {
        let all = [Self::NetworkHost, Self::SecurityInsecure];
        let found = all.into_iter().find(|entitlement| entitlement.to_string() == text);
        found.ok_or_else(|| UnknownEntitlement { name: text.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entitlements_are_written_as_in_buildkit() {
        assert_eq!("network.host".parse(), Ok(Entitlement::NetworkHost));
        assert_eq!("security.insecure".parse(), Ok(Entitlement::SecurityInsecure));
        let error = "security.unsafe".parse::<Entitlement>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown entitlement security.unsafe, expected network.host or security.insecure"
        );
    }
}
