//! Who is in a network, and which addresses are free.

use std::net::Ipv4Addr;

use super::super::NetworkError;
use super::message::{Endpoint, SwitchPlan};

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
            return Err(NetworkError::OutOfRange { address: wanted });
        }
        return if is_free(wanted) { Ok(wanted) } else { Err(NetworkError::Taken { address: wanted }) };
    }
    // One more than are taken is always enough to look at, beside the three that nobody has.
    let candidates = (range.first..=range.last).take(taken.len() + 4);
    let full = || NetworkError::Full { name: plan.name.clone() };
    candidates.map(Ipv4Addr::from).find(|address| is_free(*address)).ok_or_else(full)
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
            is_internal: false,
        }
    }

    fn endpoint(address: Ipv4Addr) -> Endpoint {
        Endpoint {
            container: String::new(),
            names: Vec::new(),
            address,
            prefix: 29,
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
}
