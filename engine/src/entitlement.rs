//! What a build may do to the machine that the user has to allow.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use graph::{Network, Run, Security};

use crate::cdi::DeviceGrant;

/// Something that a Dockerfile gets only when the user of the build says so. Names are BuildKit's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Entitlement {
    /// Steps in the network of the host.
    NetworkHost,
    /// Steps without restrictions.
    SecurityInsecure,
    /// Devices.
    Device(DeviceGrant),
}

/// What the user of a build allows.
pub type Entitlements = BTreeSet<Entitlement>;

/// A text that names no entitlement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "unknown entitlement {name}, expected network.host, security.insecure or device[=NAME[,alias=ALIAS]]"
)]
pub struct UnknownEntitlement {
    /// The text.
    pub name: String,
}

impl Entitlement {
    /// What a step needs, devices aside.
    pub(crate) fn needed_by(run: &Run) -> Vec<Self> {
        let network = (run.network == Network::Host).then_some(Self::NetworkHost);
        let security = (run.security == Security::Insecure).then_some(Self::SecurityInsecure);
        network.into_iter().chain(security).collect()
    }
}

impl fmt::Display for Entitlement {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NetworkHost => out.write_str("network.host"),
            Self::SecurityInsecure => out.write_str("security.insecure"),
            Self::Device(DeviceGrant::All) => out.write_str("device"),
            Self::Device(DeviceGrant::Named(name)) => write!(out, "device={name}"),
            Self::Device(DeviceGrant::Aliased { name, alias }) => write!(out, "device={name},alias={alias}"),
        }
    }
}

impl FromStr for Entitlement {
    type Err = UnknownEntitlement;

    fn from_str(text: &str) -> Result<Self, UnknownEntitlement> {
        let unknown = || UnknownEntitlement { name: text.to_owned() };
        match text.split_once('=').unwrap_or((text, "")) {
            ("network.host", "") => Ok(Self::NetworkHost),
            ("security.insecure", "") => Ok(Self::SecurityInsecure),
            ("device", "") => Ok(Self::Device(DeviceGrant::All)),
            ("device", device) => Ok(Self::Device(match device.split_once(',') {
                None => DeviceGrant::Named(device.to_owned()),
                Some((name, option)) => {
                    let alias = option.strip_prefix("alias=").filter(|alias| !alias.is_empty());
                    DeviceGrant::Aliased {
                        name: name.to_owned(),
                        alias: alias.ok_or_else(unknown)?.to_owned(),
                    }
                }
            })),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entitlements_are_written_as_in_buildkit() {
        assert_eq!("network.host".parse(), Ok(Entitlement::NetworkHost));
        assert_eq!("security.insecure".parse(), Ok(Entitlement::SecurityInsecure));
        for text in ["network.host", "security.insecure", "device", "device=v/c=x", "device=v/c=*,alias=gpu"]
        {
            assert_eq!(text.parse::<Entitlement>().unwrap().to_string(), text);
        }
        for text in ["security.unsafe", "", "network.host=1", "device=v/c=x,gpu", "device=v/c=x,alias="] {
            assert_eq!(text.parse::<Entitlement>(), Err(UnknownEntitlement { name: text.to_owned() }));
        }
    }
}
