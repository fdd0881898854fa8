//! Which addresses sandboxes get.

use std::net::Ipv4Addr;

use super::routes::Route;

/// Sandboxes have addresses of one of these, the first that no route of the host touches. They are away from what
/// Docker (172.17.0.0/12, 192.168.0.0/16) and podman (10.88.0.0/16) hand out; the last is set aside for tests of
/// networks (RFC 2544) and so is in nobody's use.
const POOLS: &[Ipv4Addr] = &[
    Ipv4Addr::new(10, 213, 192, 0),
    Ipv4Addr::new(172, 30, 192, 0),
    Ipv4Addr::new(192, 168, 208, 0),
    Ipv4Addr::new(100, 107, 192, 0),
    Ipv4Addr::new(198, 18, 192, 0),
];

/// Bits that all addresses of a pool share.
pub(crate) const PREFIX: u8 = 20;

/// Addresses of a pool that sandboxes can have: not the first, which is no host's, not the second, which is the
/// gateway, and not the last.
pub(crate) const SANDBOXES_MAX: u32 = (1 << (32 - PREFIX)) - 3;

/// Addresses of which the first is the host's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Pool(pub(crate) Ipv4Addr);

impl Pool {
    /// A pool that no route leads to. Routes of our own interfaces do not count.
    pub(crate) fn unused(routes: &[Route], own: &[u32]) -> Option<Self> {
        let foreign = |route: &&Route| !route.interfaces.iter().any(|index| own.contains(index));
        let taken = |pool: &Ipv4Addr| {
            routes.iter().filter(foreign).any(|route| route.prefix > 0 && overlap(*pool, route))
        };
        POOLS.iter().find(|pool| !taken(pool)).copied().map(Self)
    }

    /// The address under which sandboxes reach the host.
    pub(crate) fn gateway(self) -> Ipv4Addr {
        self.at(1)
    }

    /// The address of a sandbox, by a number below [`SANDBOXES_MAX`].
    pub(crate) fn sandbox(self, number: u32) -> Ipv4Addr {
        self.at(2 + number)
    }

    fn at(self, offset: u32) -> Ipv4Addr {
        Ipv4Addr::from(u32::from(self.0) + offset)
    }
}

fn overlap(pool: Ipv4Addr, route: &Route) -> bool {
    let prefix = u32::from(route.prefix.min(PREFIX));
    (u32::from(pool) ^ u32::from(route.destination)) >> (32 - prefix) == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(text: &str, interface: u32) -> Route {
        let (address, prefix) = text.split_once('/').unwrap_or((text, "32"));
        Route {
            destination: address.parse().expect("an address"),
            prefix: prefix.parse().expect("a number"),
            interfaces: vec![interface],
        }
    }

    fn pool(routes: &[Route]) -> Option<String> {
        Pool::unused(routes, &[9]).map(|pool| pool.0.to_string())
    }

    #[test]
    fn a_pool_collides_with_no_route() {
        let default = route("0.0.0.0/0", 2);
        assert_eq!(pool(std::slice::from_ref(&default)).as_deref(), Some("10.213.192.0"));
        assert_eq!(pool(&[default, route("10.0.0.0/8", 2)]).as_deref(), Some("172.30.192.0"));
        assert_eq!(pool(&[route("10.213.207.255", 2)]).as_deref(), Some("172.30.192.0"));
        assert_eq!(pool(&[route("10.213.208.0", 2)]).as_deref(), Some("10.213.192.0"));
        assert_eq!(pool(&[route("10.213.192.5", 9)]).as_deref(), Some("10.213.192.0"));
        let all = ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "198.18.0.0/15"];
        assert_eq!(pool(&all.map(|text| route(text, 3))), None);
    }

    #[test]
    fn every_sandbox_has_an_address_in_the_pool() {
        let pool = Pool(POOLS[0]);
        assert_eq!(pool.gateway().to_string(), "10.213.192.1");
        assert_eq!(pool.sandbox(0).to_string(), "10.213.192.2");
        assert_eq!(pool.sandbox(SANDBOXES_MAX - 1).to_string(), "10.213.207.254");
    }
}
