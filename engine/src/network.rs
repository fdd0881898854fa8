//! Which network a sandbox gets, and what it is told about it.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::sync::Once;

use executor::{NetworkError, Outlet, PrivateNetwork};
use serde::{Deserialize, Serialize};

use crate::outlet;

/// An address of `--add-host` that means the host, whatever its address is.
pub const HOST_GATEWAY: &str = "host-gateway";

/// Where the host says how it looks names up.
const RESOLV_CONF: &str = "/etc/resolv.conf";
/// The same without the stub of systemd-resolved, which listens where no sandbox can reach it.
const RESOLV_CONF_OF_RESOLVED: &str = "/run/systemd/resolve/resolv.conf";
/// Name servers of a host that names none, as in Docker.
const NAME_SERVERS_DEFAULT: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

/// `--dns`, `--dns-search` and `--dns-option`: what is empty comes from the host.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Addresses of name servers.
    pub servers: Vec<IpAddr>,
    /// Domains that are tried for short names; a single `.` is none at all.
    pub search: Vec<String>,
    /// Options of the resolver, see resolv.conf(5).
    pub options: Vec<String>,
}

/// What a sandbox gets.
pub(crate) struct Granted {
    pub(crate) network: executor::Network,
    private: Option<PrivateNetwork>,
}

/// Starts to set a private network up, for a sandbox that will want one. See [`grant_to_step`]: a step of a store with
/// this root may not need it before it has begun.
pub(crate) fn prepare_for_step(root: &Path, wanted: graph::Network) {
    let known = if wanted == graph::Network::Default { outlet::recall(root) } else { None };
    let Some(known) = known else { return prepare(wanted) };
    if let Err(error) = executor::prepare_unconnected_network(known.outlet) {
        tracing::debug!(%error, "cannot prepare a namespace ahead of time");
    }
}

/// Starts to set a private network up, for a sandbox that will want one.
pub(crate) fn prepare(wanted: graph::Network) {
    if wanted != graph::Network::Default {
        return;
    }
    if let Err(error) = executor::prepare_network() {
        tracing::debug!(%error, "cannot prepare the network ahead of time");
    }
}

/// Turns a wish into what this machine has. Where no private network can be made, it is the host's, and the reason
/// is told once. Waits for the private network.
pub(crate) fn grant(wanted: graph::Network) -> Granted {
    let shared = |network| Granted { network, private: None };
    match wanted {
        graph::Network::Host => shared(executor::Network::Host),
        graph::Network::None => shared(executor::Network::None),
        graph::Network::Default => match executor::private_network() {
            Ok(private) => {
                tell_forwarding(&private);
                Granted { network: executor::Network::Private, private: Some(private) }
            }
            Err(error) => {
                tell_missing(&error);
                shared(executor::Network::Host)
            }
        },
    }
}

/// The same for a step of a build. Where an earlier one has found out which network there is, a private one is
/// connected when the step makes its first socket, and nothing waits here. Not for a step that has to know the host's address
/// in it, which only a network that is there can tell.
pub(crate) fn grant_to_step(root: &Path, wanted: graph::Network) -> Granted {
    let can_wait = wanted == graph::Network::Default && !executor::has_idle_network();
    if can_wait && let Some(private) = outlet::recall(root) {
        return Granted { network: executor::Network::OnDemand(private.outlet), private: Some(private) };
    }
    let granted = grant(wanted);
    if let Some(private) = &granted.private {
        outlet::remember(root, private);
    }
    granted
}

/// A step with a network on demand has ended: what had to be switched on for it is told.
pub(crate) fn tell_of_step() {
    if let Some(private) = executor::known_private_network() {
        tell_forwarding(&private);
    }
}

fn tell_forwarding(network: &PrivateNetwork) {
    static TOLD: Once = Once::new();
    if !network.forwarding.is_empty() {
        let interfaces = network.forwarding.join(", ");
        TOLD.call_once(|| {
            tracing::info!("switched on forwarding of {interfaces} until the last sandbox is gone");
        });
    }
}

fn tell_missing(error: &NetworkError) {
    static TOLD: Once = Once::new();
    TOLD.call_once(|| {
        tracing::info!("no private network on this machine, sandboxes share the host's ({error})");
    });
}

impl Granted {
    /// A network that somebody made, from which the host has this address.
    pub(crate) fn shared(host: Option<Ipv4Addr>) -> Self {
        let outlet = if host.is_some() { Outlet::Veth } else { Outlet::Pasta };
        let private =
            PrivateNetwork { outlet, host, name_server: None, forwarding: Vec::new(), on_demand: false };
        Self { network: executor::Network::Private, private: Some(private) }
    }

    /// `/etc/resolv.conf`, see resolv.conf(5): the host's, without name servers that the sandbox cannot reach.
    pub(crate) fn resolv_conf(&self, dns: &Dns) -> String {
        let text = match self.network {
            executor::Network::Private | executor::Network::OnDemand(_) => reachable_resolv_conf(),
            executor::Network::Host | executor::Network::None | executor::Network::Joined => {
                read(RESOLV_CONF)
            }
        };
        let replaced = replace(&text, dns);
        match &self.private {
            Some(private) => without_unreachable(&replaced, private),
            None if has_servers(&replaced) => replaced,
            None => with_servers(&replaced, NAME_SERVERS_DEFAULT),
        }
    }

    /// Lines of `/etc/hosts` for `--add-host`. A gateway that there is not is a mistake of the caller's.
    pub(crate) fn extra_hosts(&self, hosts: &[(String, String)]) -> Result<String, NoHostGateway> {
        let mut text = String::new();
        for (name, address) in hosts {
            let address = if address == HOST_GATEWAY { self.host_gateway()? } else { address.clone() };
            text += &format!("{address}\t{name}\n");
        }
        Ok(text)
    }

    fn host_gateway(&self) -> Result<String, NoHostGateway> {
        match (&self.private, self.network) {
            (Some(PrivateNetwork { host: Some(host), .. }), _) => Ok(host.to_string()),
            (Some(private), _) => Err(NoHostGateway::of(private.outlet.name())),
            (None, executor::Network::None) => Err(NoHostGateway::of("none")),
            (None, _) => Ok("127.0.0.1".to_owned()),
        }
    }
}

/// Whom the host asks for names, also those that only the host can reach.
pub(crate) fn name_servers_of_host() -> Vec<IpAddr> {
    let found: Vec<IpAddr> = servers(&read(RESOLV_CONF)).filter_map(|server| server.parse().ok()).collect();
    if found.is_empty() {
        NAME_SERVERS_DEFAULT.iter().filter_map(|it| it.parse().ok()).collect()
    } else {
        found
    }
}

/// `/etc/resolv.conf` in a network that somebody made, whose name server asks all others.
pub(crate) fn shared_resolv_conf(dns: &Dns, name_server: Ipv4Addr) -> String {
    let mut options = dns.options.clone();
    if !options.iter().any(|option| option.starts_with("ndots:")) {
        // Names of containers have no dots, as in Docker.
        options.push("ndots:0".to_owned());
    }
    replace(&read(RESOLV_CONF), &Dns { servers: vec![name_server.into()], options, ..dns.clone() })
}

/// `host-gateway` was asked for in a network from which the host cannot be reached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "the host cannot be reached from a network of the kind `{outlet}`, so that `{HOST_GATEWAY}` has no address"
)]
pub struct NoHostGateway {
    outlet: String,
}

impl NoHostGateway {
    /// That networks of this kind have no such address.
    pub(crate) fn of(outlet: &str) -> Self {
        Self { outlet: outlet.to_owned() }
    }

    /// The kind of the network.
    pub(crate) fn outlet(&self) -> &str {
        &self.outlet
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// The host's file, or that of systemd-resolved when the host's only names its stub.
fn reachable_resolv_conf() -> String {
    let text = read(RESOLV_CONF);
    let servers: Vec<_> = servers(&text).collect();
    if !servers.is_empty() && servers.iter().all(|server| is_loopback(server)) {
        let upstream = read(RESOLV_CONF_OF_RESOLVED);
        if has_servers(&upstream) {
            return upstream;
        }
    }
    text
}

fn servers(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|line| keyword(line).filter(|(word, _)| *word == "nameserver"))
        .map(|(_, rest)| rest)
}

fn has_servers(text: &str) -> bool {
    servers(text).next().is_some()
}

/// The first word of a line and what follows.
fn keyword(line: &str) -> Option<(&str, &str)> {
    let (word, rest) = line.trim().split_once(char::is_whitespace)?;
    Some((word, rest.trim()))
}

fn is_loopback(server: &str) -> bool {
    server.parse().is_ok_and(|address: IpAddr| address.is_loopback())
}

fn is_ipv6(server: &str) -> bool {
    server.contains(':')
}

/// Replaces the kinds of lines that the caller gives.
fn replace(text: &str, dns: &Dns) -> String {
    let Dns { servers, search, options } = dns;
    let is_replaced = |word: &str| match word {
        "nameserver" => !servers.is_empty(),
        "search" | "domain" => !search.is_empty(),
        "options" => !options.is_empty(),
        _ => false,
    };
    let kept = text.lines().filter(|line| !keyword(line).is_some_and(|(word, _)| is_replaced(word)));
    let mut lines: Vec<String> = kept.map(str::to_owned).collect();
    if !search.is_empty() && search.as_slice() != ["."] {
        lines.push(format!("search {}", search.join(" ")));
    }
    lines.extend(servers.iter().map(|server| format!("nameserver {server}")));
    if !options.is_empty() {
        lines.push(format!("options {}", options.join(" ")));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// Drops name servers on the loopback interface, which is another one inside, and those that only IPv6 reaches
/// where there is none. If none is left, it is the outlet's own, or Docker's choice.
fn without_unreachable(text: &str, private: &PrivateNetwork) -> String {
    let has_ipv6 = private.outlet == Outlet::Pasta;
    let is_reachable = |server: &str| !is_loopback(server) && (has_ipv6 || !is_ipv6(server));
    let keeps =
        |line: &&str| keyword(line).is_none_or(|(word, rest)| word != "nameserver" || is_reachable(rest));
    let kept: String = text.lines().filter(keeps).map(|line| format!("{line}\n")).collect();
    match private.name_server {
        _ if has_servers(&kept) => kept,
        Some(server) => with_servers(&kept, [server.to_string().as_str()]),
        None => with_servers(&kept, NAME_SERVERS_DEFAULT),
    }
}

fn with_servers<const N: usize>(text: &str, servers: [&str; N]) -> String {
    let lines: String = servers.iter().map(|server| format!("nameserver {server}\n")).collect();
    format!("{text}{lines}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn private(outlet: Outlet) -> PrivateNetwork {
        let name_server = (outlet == Outlet::Slirp4netns).then(|| [10, 0, 2, 3].into());
        PrivateNetwork { outlet, host: None, name_server, forwarding: Vec::new(), on_demand: false }
    }

    #[test]
    fn unreachable_name_servers_are_dropped() {
        let text =
            "# made by hand\nsearch a b\nnameserver 127.0.0.53\nnameserver 192.0.2.1\nnameserver fd00::1\n";
        insta::assert_snapshot!(without_unreachable(text, &private(Outlet::Veth)), @"
        # made by hand
        search a b
        nameserver 192.0.2.1
        ");
        insta::assert_snapshot!(without_unreachable(text, &private(Outlet::Pasta)), @"
        # made by hand
        search a b
        nameserver 192.0.2.1
        nameserver fd00::1
        ");
    }

    #[test]
    fn a_sandbox_always_has_a_name_server() {
        let text = "options edns0\nnameserver ::1\nnameserver 127.0.0.1\n";
        insta::assert_snapshot!(without_unreachable(text, &private(Outlet::Veth)), @"
        options edns0
        nameserver 8.8.8.8
        nameserver 8.8.4.4
        ");
        insta::assert_snapshot!(without_unreachable(text, &private(Outlet::Slirp4netns)), @"
        options edns0
        nameserver 10.0.2.3
        ");
    }

    #[test]
    fn what_the_caller_gives_replaces_its_kind() {
        let text = "domain old\nnameserver 192.0.2.1\noptions rotate\n";
        let dns = Dns { servers: vec!["192.0.2.9".parse().expect("an address")], ..Dns::default() };
        insta::assert_snapshot!(replace(text, &dns), @"
        domain old
        options rotate
        nameserver 192.0.2.9
        ");
        let dns = Dns { search: vec![".".into()], options: vec!["ndots:2".into()], ..Dns::default() };
        insta::assert_snapshot!(replace(text, &dns), @"
        nameserver 192.0.2.1
        options ndots:2
        ");
    }
}
