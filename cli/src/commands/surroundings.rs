//! What `run` and `build` both let a process see of its machine: network, host names, limits.

use std::net::IpAddr;

use engine::{HOST_GATEWAY, Network, Surroundings, Ulimit};

use super::prune::parse_size;

/// The options of both commands.
#[derive(Debug, clap::Args)]
pub(crate) struct SurroundingsArgs {
    /// Add a custom host-to-IP mapping ("NAME:IP" or "NAME=IP"; the IP "host-gateway" is this machine)
    #[arg(long, value_name = "NAME:IP", value_parser = parse_host)]
    add_host: Vec<(String, String)>,
    /// Size of "/dev/shm"
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    shm_size: Option<u64>,
    /// Ulimit options, such as "nofile=1024:2048"
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = parse_ulimit)]
    ulimit: Vec<Ulimit>,
}

impl From<SurroundingsArgs> for Surroundings {
    fn from(args: SurroundingsArgs) -> Self {
        Self { extra_hosts: args.add_host, shm_size_bytes: args.shm_size, ulimits: args.ulimit }
    }
}

/// The word of `--network` for what Docker gives by default, beside `default`.
const BRIDGE: &str = "bridge";

/// `default`, `host` or `none`.
pub(super) fn parse_network(text: &str) -> Result<Network, String> {
    match text {
        "default" | BRIDGE | "" => Ok(Network::Default),
        "host" => Ok(Network::Host),
        "none" => Ok(Network::None),
        _ => Err("expected default, host or none: there are no named networks".to_owned()),
    }
}

/// `NAME:IP`, `NAME=IP`, with brackets around an IPv6 address or without, or `NAME:host-gateway`.
fn parse_host(text: &str) -> Result<(String, String), String> {
    let separator = text.find(['=', ':']).ok_or("expected NAME:IP")?;
    let (name, address) = (&text[..separator], &text[separator + 1..]);
    if name.is_empty() || name.contains(char::is_whitespace) {
        return Err("expected a host name before the address".to_owned());
    }
    if address == HOST_GATEWAY {
        return Ok((name.to_owned(), address.to_owned()));
    }
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    let ip: IpAddr =
        bare.parse().map_err(|_| format!("`{address}` is neither an IP address nor {HOST_GATEWAY}"))?;
    Ok((name.to_owned(), ip.to_string()))
}

/// `NAME=SOFT[:HARD]`; -1 and `unlimited` are no limit.
fn parse_ulimit(text: &str) -> Result<Ulimit, String> {
    let (name, limits) = text.split_once('=').ok_or("expected NAME=SOFT[:HARD]")?;
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(None),
        _ => text.parse().map(Some).map_err(|_| format!("`{text}` is not a number, -1 or unlimited")),
    };
    let (soft, hard) = (number(soft)?, number(hard)?);
    if soft.unwrap_or(u64::MAX) > hard.unwrap_or(u64::MAX) {
        return Err("the soft limit is above the hard limit".to_owned());
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_in_all_their_forms() {
        let pair = |name: &str, address: &str| Ok((name.to_owned(), address.to_owned()));
        assert_eq!(parse_host("db:10.0.0.1"), pair("db", "10.0.0.1"));
        assert_eq!(parse_host("db=10.0.0.1"), pair("db", "10.0.0.1"));
        assert_eq!(parse_host("db:::1"), pair("db", "::1"));
        assert_eq!(parse_host("db=[fd00::1]"), pair("db", "fd00::1"));
        assert_eq!(parse_host("me:host-gateway"), pair("me", "host-gateway"));
        for wrong in ["db", ":1.2.3.4", "db:", "db:1.2.3", "a b:1.2.3.4", "db:1.2.3.4\n5.6.7.8 x"] {
            assert!(parse_host(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn ulimits_in_all_their_forms() {
        let limit = |soft, hard| Ok(Ulimit { name: "nofile".to_owned(), soft, hard });
        assert_eq!(parse_ulimit("nofile=64"), limit(Some(64), Some(64)));
        assert_eq!(parse_ulimit("nofile=64:128"), limit(Some(64), Some(128)));
        assert_eq!(parse_ulimit("nofile=64:-1"), limit(Some(64), None));
        assert_eq!(parse_ulimit("nofile=unlimited"), limit(None, None));
        for wrong in ["nofile", "nofile=", "nofile=2:1", "nofile=-1:5", "nofile=x"] {
            assert!(parse_ulimit(wrong).is_err(), "{wrong}");
        }
    }
}
