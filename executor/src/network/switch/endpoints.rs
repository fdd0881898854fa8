//! Who is in a network, and which addresses are free.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::super::NetworkError;
use super::message::{Endpoint, Ipv6Plan, SwitchPlan};

/// Addresses of a network by its first one and the bits that all have in common.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block {
    first: u32,
    last: u32,
}

impl Block {
    pub(super) fn new((address, prefix): (Ipv4Addr, u8)) -> Self {
        let host_bits = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
        let first = u32::from(address) & !host_bits;
        Self { first, last: first | host_bits }
    }

    fn contains(self, address: Ipv4Addr) -> bool {
        (self.first..=self.last).contains(&u32::from(address))
    }

    /// The last address, which means all of them.
    pub(super) fn broadcast(self) -> Ipv4Addr {
        Ipv4Addr::from(self.last)
    }
}

/// The address that a container gets: the one that it wants, or the lowest that is free.
pub(super) fn choose<'a>(
    plan: &SwitchPlan,
    taken: impl Iterator<Item = &'a Endpoint>,
    wanted: Option<Ipv4Addr>,
) -> Result<Ipv4Addr, NetworkError> {
    let (subnet, range) = (Block::new(plan.subnet), Block::new(plan.range));
    let taken: Vec<Ipv4Addr> = taken.map(|endpoint| endpoint.address).collect();
    let is_free = |address: Ipv4Addr| {
        let number = u32::from(address);
        address != plan.gateway
            && number != subnet.first
            && number != subnet.last
            && !taken.contains(&address)
    };
    if let Some(wanted) = wanted {
        if !subnet.contains(wanted) {
            return Err(NetworkError::OutOfRange { address: wanted.into() });
        }
        return if is_free(wanted) {
            Ok(wanted)
        } else {
            Err(NetworkError::Taken { address: wanted.into() })
        };
    }
    // One more than are taken is always enough to look at, beside the three that nobody has.
    let candidates = (range.first..=range.last).take(taken.len() + 4);
    let full = || NetworkError::Full { name: plan.name.clone(), family: String::from("IPv4") };
    candidates.map(Ipv4Addr::from).find(|address| is_free(*address)).ok_or_else(full)
}

/// The same for an IPv6 address, in a network that has any. Nobody has the first one, which means all routers.
pub(super) fn choose6<'a>(
    plan: &SwitchPlan,
    taken: impl Iterator<Item = &'a Endpoint>,
    wanted: Option<Ipv6Addr>,
) -> Result<Option<(Ipv6Addr, u8)>, NetworkError> {
    let out_of_range = |wanted: Ipv6Addr| NetworkError::OutOfRange { address: wanted.into() };
    let Some(Ipv6Plan { subnet, range, gateway }) = plan.ipv6 else {
        return wanted.map_or(Ok(None), |wanted| Err(out_of_range(wanted)));
    };
    let last = |(first, prefix): (Ipv6Addr, u8)| {
        u128::from(first) | u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0)
    };
    let taken: Vec<Ipv6Addr> =
        taken.filter_map(|endpoint| endpoint.address6).map(|(address, _)| address).collect();
    let is_free = |address: Ipv6Addr| address != gateway && address != subnet.0 && !taken.contains(&address);
    if let Some(wanted) = wanted {
        if !(u128::from(subnet.0)..=last(subnet)).contains(&u128::from(wanted)) {
            return Err(out_of_range(wanted));
        }
        let is_free = is_free(wanted);
        return is_free
            .then_some(Some((wanted, subnet.1)))
            .ok_or(NetworkError::Taken { address: wanted.into() });
    }
    let candidates = (u128::from(range.0)..=last(range)).take(taken.len() + 3);
    let found = candidates.map(Ipv6Addr::from).find(|address| is_free(*address));
    let full = || NetworkError::Full { name: plan.name.clone(), family: String::from("IPv6") };
    found.map(|address| Some((address, subnet.1))).ok_or_else(full)
}

/// A hardware address that belongs to an address of this network, as Docker makes them.
pub(super) fn mac_of(address: Ipv4Addr) -> [u8; 6] {
    let [a, b, c, d] = address.octets();
    [0x02, 0x42, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(range: (Ipv4Addr, u8)) -> SwitchPlan {
        SwitchPlan {
            name: String::from("net"),
            subnet: (Ipv4Addr::new(10, 1, 2, 0), 29),
            range,
            gateway: Ipv4Addr::new(10, 1, 2, 1),
            ipv6: None,
            is_internal: false,
        }
    }

    fn endpoint(address: Ipv4Addr) -> Endpoint {
        Endpoint {
            container: String::new(),
            names: Vec::new(),
            address,
            prefix: 29,
            address6: None,
            mac: mac_of(address),
            host: None,
        }
    }

    #[test]
    fn addresses_are_given_until_there_are_none() {
        let whole = plan((Ipv4Addr::new(10, 1, 2, 0), 29));
        let mut endpoints: Vec<Endpoint> = Vec::new();
        while let Ok(address) = choose(&whole, endpoints.iter(), None) {
            endpoints.push(endpoint(address));
        }
        let last: Vec<u8> = endpoints.iter().map(|endpoint| endpoint.address.octets()[3]).collect();
        assert_eq!(last, [2, 3, 4, 5, 6]);
        endpoints.remove(1);
        assert_eq!(choose(&whole, endpoints.iter(), None), Ok(Ipv4Addr::new(10, 1, 2, 3)));
    }

    #[test]
    fn a_wish_is_granted_if_it_can_be() {
        let part = plan((Ipv4Addr::new(10, 1, 2, 4), 31));
        let first = choose(&part, [].iter(), None);
        assert_eq!(first, Ok(Ipv4Addr::new(10, 1, 2, 4)));
        let wish = |last| {
            choose(&part, [endpoint(Ipv4Addr::new(10, 1, 2, 4))].iter(), Some(Ipv4Addr::new(10, 1, 2, last)))
        };
        assert_eq!(wish(2), Ok(Ipv4Addr::new(10, 1, 2, 2)), "outside of the range, but in the subnet");
        for taken in [0, 1, 4, 7] {
            assert!(matches!(wish(taken), Err(NetworkError::Taken { .. })), "{taken}");
        }
        assert!(matches!(wish(8), Err(NetworkError::OutOfRange { .. })));
    }

    #[test]
    fn ipv6_addresses_are_given_as_others_are() {
        let address = |text: &str| text.parse::<Ipv6Addr>().unwrap();
        let none = plan((Ipv4Addr::new(10, 1, 2, 0), 29));
        assert_eq!(choose6(&none, [].iter(), None), Ok(None));
        assert!(matches!(
            choose6(&none, [].iter(), Some(address("fd00::5"))),
            Err(NetworkError::OutOfRange { .. })
        ));
        let subnet = (address("fd00::8"), 126);
        let ipv6 = Some(Ipv6Plan { subnet, range: subnet, gateway: address("fd00::9") });
        let some = SwitchPlan { ipv6, ..none };
        let mut endpoints: Vec<Endpoint> = Vec::new();
        while let Ok(found) = choose6(&some, endpoints.iter(), None) {
            endpoints.push(Endpoint { address6: found, ..endpoint(Ipv4Addr::LOCALHOST) });
        }
        let given: Vec<_> = endpoints.iter().filter_map(|endpoint| endpoint.address6).collect();
        assert_eq!(given, [(address("fd00::a"), 126), (address("fd00::b"), 126)]);
        let wish = |text: &str| choose6(&some, endpoints[..1].iter(), Some(address(text)));
        assert_eq!(wish("fd00::b"), Ok(Some((address("fd00::b"), 126))));
        for taken in ["fd00::8", "fd00::9", "fd00::a"] {
            assert!(matches!(wish(taken), Err(NetworkError::Taken { .. })), "{taken}");
        }
        assert!(matches!(wish("fd00::c"), Err(NetworkError::OutOfRange { .. })));
    }
}
