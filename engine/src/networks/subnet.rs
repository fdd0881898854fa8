//! Subnets, and which of them a network gets that names none.

use std::fmt;
use std::fs;
use std::net::Ipv4Addr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::NetworkError;

/// Longest prefix that leaves an address for a container beside the gateway.
const PREFIX_MAX: u8 = 30;
/// What networks get, as in Docker: `172.18.0.0/16` and its like first, then `192.168.0.0/20` and its like.
const WIDE: std::ops::RangeInclusive<u8> = 18..=31;
const NARROW_PREFIX: u8 = 20;
const NARROW_COUNT: u8 = 16;
/// Where the kernel lists the routes of the host.
const ROUTES: &str = "/proc/net/route";

/// Addresses that have their first bits in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Subnet {
    /// The first one.
    pub first: Ipv4Addr,
    /// How many bits.
    pub prefix: u8,
}

impl Subnet {
    fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }

    /// Whether an address is in it.
    pub fn contains(self, address: Ipv4Addr) -> bool {
        u32::from(address) & self.mask() == u32::from(self.first)
    }

    /// Whether an address is in both.
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// The first address that a host can have.
    pub fn first_host(self) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.first) + 1)
    }
}

impl FromStr for Subnet {
    type Err = NetworkError;

    /// Bits behind the prefix do not count, as in Docker.
    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let wrong = || NetworkError::Subnet { text: text.to_owned() };
        let (address, prefix) = text.split_once('/').ok_or_else(wrong)?;
        let address: Ipv4Addr = address.parse().map_err(|_| wrong())?;
        let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
        if prefix == 0 || prefix > 32 {
            return Err(wrong());
        }
        let subnet = Self { first: address, prefix };
        Ok(Self { first: Ipv4Addr::from(u32::from(address) & subnet.mask()), prefix })
    }
}

impl TryFrom<String> for Subnet {
    type Error = NetworkError;

    fn try_from(text: String) -> Result<Self, NetworkError> {
        text.parse()
    }
}

impl From<Subnet> for String {
    fn from(subnet: Subnet) -> Self {
        subnet.to_string()
    }
}

impl fmt::Display for Subnet {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}/{}", self.first, self.prefix)
    }
}

/// Checks a subnet that a user wants.
pub(super) fn check(subnet: Subnet, taken: &[Subnet]) -> Result<(), NetworkError> {
    if subnet.prefix > PREFIX_MAX {
        return Err(NetworkError::Subnet { text: subnet.to_string() });
    }
    match taken.iter().find(|other| other.overlaps(subnet)) {
        Some(other) => Err(NetworkError::Overlap { subnet: subnet.to_string(), other: other.to_string() }),
        None => Ok(()),
    }
}

/// A subnet that overlaps with none of `taken`, from the one with the number `first` on.
///
/// A network that is not in use has no route, so different stores would choose the same one if all began with the first.
pub(super) fn choose(taken: &[Subnet], first: u8) -> Result<Subnet, NetworkError> {
    let (start, count) = (*WIDE.start(), WIDE.end() - WIDE.start() + 1);
    let number = |at: u8| start + (at + first % count) % count;
    let wide = (0..count).map(|at| Subnet { first: Ipv4Addr::new(172, number(at), 0, 0), prefix: 16 });
    let narrow = (0..NARROW_COUNT)
        .map(|number| Subnet { first: Ipv4Addr::new(192, 168, number * 16, 0), prefix: NARROW_PREFIX });
    wide.chain(narrow)
        .find(|subnet| !taken.iter().any(|other| other.overlaps(*subnet)))
        .ok_or(NetworkError::NoPool)
}

/// What the host has routes to, the one to everywhere aside.
pub(super) fn routed() -> Vec<Subnet> {
    parse_routes(&fs::read_to_string(ROUTES).unwrap_or_default())
}

/// Destination and mask are numbers in the byte order of the machine, see proc(5).
fn parse_routes(text: &str) -> Vec<Subnet> {
    let route = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let number = |index: usize| u32::from_str_radix(fields.get(index)?, 16).ok().map(u32::to_ne_bytes);
        let (first, mask) = (Ipv4Addr::from(number(1)?), u32::from_be_bytes(number(7)?));
        (mask != 0).then(|| Subnet { first, prefix: mask.count_ones() as u8 })
    };
    text.lines().skip(1).filter_map(route).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn subnet(text: &str) -> Subnet {
        text.parse().unwrap()
    }

    #[test]
    fn subnets_are_read_and_compared() {
        assert_eq!(subnet("10.1.2.3/16").to_string(), "10.1.0.0/16");
        assert!(subnet("10.0.0.0/8").overlaps(subnet("10.9.0.0/16")));
        assert!(subnet("10.9.0.0/16").overlaps(subnet("10.0.0.0/8")));
        assert!(!subnet("10.9.0.0/16").overlaps(subnet("10.8.0.0/16")));
        for wrong in ["10.0.0.0", "10.0.0.0/0", "10.0.0.0/33", "fd00::/64", "x/8", ""] {
            assert!(wrong.parse::<Subnet>().is_err(), "{wrong}");
        }
        assert!(check(subnet("10.0.0.0/31"), &[]).is_err());
    }

    #[test]
    fn networks_get_what_nobody_has() {
        assert_eq!(choose(&[], 0).unwrap().to_string(), "172.18.0.0/16");
        assert_eq!(choose(&[], 27).unwrap().to_string(), "172.31.0.0/16");
        assert_eq!(choose(&[subnet("172.31.0.0/16")], 27).unwrap().to_string(), "172.18.0.0/16");
        assert_eq!(choose(&[subnet("172.18.5.0/24")], 0).unwrap().to_string(), "172.19.0.0/16");
        assert_eq!(choose(&[subnet("172.16.0.0/12")], 255).unwrap().to_string(), "192.168.0.0/20");
        assert!(choose(&[subnet("172.16.0.0/12"), subnet("192.168.0.0/16")], 0).is_err());
    }

    #[test]
    fn routes_of_the_host_are_read() {
        let text = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n\
            eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0\n\
            eth0 000200C0 00000000 0001 0 0 0 00FFFFFF 0 0 0\n";
        if cfg!(target_endian = "little") {
            let list: Vec<String> = parse_routes(text).iter().map(ToString::to_string).collect();
            assert_eq!(list, ["192.0.2.0/24"]);
        }
    }
}
