//! Subnets of IPv6, and which of them a network gets that names none.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::Path;
use std::str::FromStr;

use image::Digest;
use serde::{Deserialize, Serialize};

use super::NetworkError;

/// Longest prefix that leaves an address for a container beside the gateway.
const PREFIX_MAX: u8 = 126;
/// How addresses begin that nobody else gives out, see RFC 4193; five bytes that a store has for itself follow.
const UNIQUE_LOCAL: u8 = 0xfd;
/// What a network gets of them.
const CHOSEN_PREFIX: u8 = 64;

/// IPv6 addresses that have their first bits in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Subnet6 {
    /// The first one.
    pub first: Ipv6Addr,
    /// How many bits.
    pub prefix: u8,
}

impl Subnet6 {
    fn mask(self) -> u128 {
        u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0)
    }

    /// Whether an address is in it.
    pub fn contains(self, address: Ipv6Addr) -> bool {
        u128::from(address) & self.mask() == u128::from(self.first)
    }

    /// Whether an address is in both.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// The first address that a host can have.
    pub fn first_host(self) -> Ipv6Addr {
        Ipv6Addr::from(u128::from(self.first) + 1)
    }
}

impl FromStr for Subnet6 {
    type Err = NetworkError;

    /// Bits behind the prefix do not count, as in Docker.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError::Subnet6 { text: text.to_owned() };
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv6Addr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        if prefix == 0 || prefix > 128 {
            return Err(wrong());
        }
        let subnet = Self { first: address, prefix };
        Ok(Self { first: Ipv6Addr::from(u128::from(address) & subnet.mask()), prefix })
    }
}

impl TryFrom<String> for Subnet6 {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Subnet6> for String {
    fn from(subnet: Subnet6) -> Self {
        subnet.to_string()
    }
}

impl fmt::Display for Subnet6 {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.first, self.prefix)
    }
}

/// Checks a subnet that a user wants.
pub(super) fn check(subnet: Subnet6, taken: &[Subnet6]) -> Result<(), NetworkError> {
    if subnet.prefix > PREFIX_MAX {
        return Err(NetworkError::Subnet6 { text: subnet.to_string() });
    }
    match taken.iter().find(|other| other.overlaps(subnet)) {
        Some(other) => Err(NetworkError::Overlap { subnet: subnet.to_string(), other: other.to_string() }),
        None => Ok(()),
    }
}

/// A subnet that overlaps with none of `taken`, of the addresses that the store at `root` has for itself.
pub(super) fn choose(taken: &[Subnet6], root: &Path) -> Result<Subnet6, NetworkError> {
    let digest = Digest::of(root.as_os_str().as_encoded_bytes()).0;
    let mut octets = [0; 16];
    octets[0] = UNIQUE_LOCAL;
    octets[1..6].copy_from_slice(&digest[..5]);
    let all = (0..=u16::MAX).map(|number| {
        octets[6..8].copy_from_slice(&number.to_be_bytes());
        Subnet6 { first: Ipv6Addr::from(octets), prefix: CHOSEN_PREFIX }
    });
    let mut free = all.filter(|subnet| !taken.iter().any(|other| other.overlaps(*subnet)));
    free.next().ok_or(NetworkError::NoPool)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet6 {
        text.parse().unwrap()
    }

    #[test]
    fn subnets_are_read_and_compared() {
        assert_eq!(subnet("fd00::1:2/64").to_string(), "fd00::/64");
        assert!(subnet("fd00::/16").overlaps(subnet("fd00:1::/64")));
        assert!(!subnet("fd00:1::/64").overlaps(subnet("fd00:2::/64")));
        for wrong in ["fd00::", "fd00::/0", "fd00::/129", "10.0.0.0/8", "x/8", ""] {
            assert!(wrong.parse::<Subnet6>().is_err(), "{wrong}");
        }
        assert!(check(subnet("fd00::/127"), &[]).is_err());
        assert!(check(subnet("fd00::/64"), &[subnet("fd00::/16")]).is_err());
    }

    #[test]
    fn networks_get_what_nobody_has() {
        let root = Path::new("/var/lib/slipway");
        let first = choose(&[], root).unwrap();
        assert_eq!((first.first.octets()[0], first.prefix), (UNIQUE_LOCAL, CHOSEN_PREFIX));
        let second = choose(&[first], root).unwrap();
        assert!(!second.overlaps(first));
        assert!(!choose(&[], Path::new("/elsewhere")).unwrap().overlaps(first));
    }
}
