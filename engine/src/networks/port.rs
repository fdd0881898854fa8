//! `--publish` and `--expose`.

use std::net::IpAddr;
use std::ops::RangeInclusive;

use executor::Protocol;
use serde::{Deserialize, Serialize};

/// Ports of a container, and where they are published.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PortRequest {
    /// What they are of.
    pub protocol: Protocol,
    /// In the container, the first and the last.
    pub container: (u16, u16),
    /// On which address of the host; all without.
    pub address: Option<IpAddr>,
    /// On the host, the first and the last; some that are free without. As many as in the container, or more for a single one, of
    /// which the first is taken that is free.
    pub host: Option<(u16, u16)>,
}

/// What is wrong with a port, in Docker's words.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// Nothing stands where the port of the container should.
    #[error("no port specified: {text}<empty>")]
    Missing {
        /// What was written.
        text: String,
    },
    /// A port of the container that is none.
    #[error("invalid containerPort: {port}")]
    Container {
        /// What was written.
        port: String,
    },
    /// A port of the host that is none.
    #[error("invalid hostPort: {port}")]
    Host {
        /// What was written.
        port: String,
    },
    /// An address that is none.
    #[error("invalid IP address: {address}")]
    Address {
        /// What was written.
        address: String,
    },
    /// A protocol that there is not.
    #[error("invalid proto: {protocol}")]
    Protocol {
        /// What was written.
        protocol: String,
    },
    /// Two ranges of different length.
    #[error("invalid ranges specified for container and host Ports: {container} and {host}")]
    Ranges {
        /// That of the container.
        container: String,
        /// That of the host.
        host: String,
    },
}

/// Reads what follows `--publish`: `[[ADDRESS:]HOST_PORT:]CONTAINER_PORT[/PROTOCOL]`, each port also a range.
///
/// # Errors
///
/// What is wrong with it.
pub fn parse_port(text: &str) -> Result<PortRequest, PortError> {
    let (rest, protocol) = protocol(text)?;
    let (before, container) = rest.rsplit_once(':').unwrap_or(("", rest));
    let (address, host) = match before.rsplit_once(':') {
        // Colons in brackets belong to the address.
        Some((_, host)) if host.ends_with(']') => (before, ""),
        Some((address, host)) => (address, host),
        None if before.starts_with('[') || before.parse::<std::net::Ipv4Addr>().is_ok() => (before, ""),
        None => ("", before),
    };
    if container.is_empty() {
        return Err(PortError::Missing { text: text.to_owned() });
    }
    let inside = range(container).ok_or_else(|| PortError::Container { port: container.to_owned() })?;
    let outside = match host {
        "" => None,
        host => Some(range(host).ok_or_else(|| PortError::Host { port: host.to_owned() })?),
    };
    if let Some(outside) = outside
        && inside.0 != inside.1
        && outside.1 - outside.0 != inside.1 - inside.0
    {
        return Err(PortError::Ranges { container: container.to_owned(), host: host.to_owned() });
    }
    Ok(PortRequest { protocol, container: inside, address: parse_address(address)?, host: outside })
}

/// Reads what follows `--expose`, and the keys of `ExposedPorts` of an image: `PORT[/PROTOCOL]`, or a range.
///
/// # Errors
///
/// What is wrong with it.
pub fn parse_exposed(text: &str) -> Result<(RangeInclusive<u16>, Protocol), PortError> {
    let (port, protocol) = protocol(text)?;
    let (first, last) = range(port).ok_or_else(|| PortError::Container { port: port.to_owned() })?;
    Ok((first..=last, protocol))
}

fn protocol(text: &str) -> Result<(&str, Protocol), PortError> {
    let (rest, word) = text.rsplit_once('/').unwrap_or((text, "tcp"));
    match word.to_ascii_lowercase().as_str() {
        "tcp" => Ok((rest, Protocol::Tcp)),
        "udp" => Ok((rest, Protocol::Udp)),
        _ => Err(PortError::Protocol { protocol: word.to_owned() }),
    }
}

fn parse_address(text: &str) -> Result<Option<IpAddr>, PortError> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    if bare.is_empty() {
        return Ok(None);
    }
    bare.parse().map(Some).map_err(|_| PortError::Address { address: text.to_owned() })
}

fn range(text: &str) -> Option<(u16, u16)> {
    let number = |text: &str| text.parse::<u16>().ok().filter(|_| text.bytes().all(|b| b.is_ascii_digit()));
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last)?);
    (first <= last).then_some((first, last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        match parse_port(text) {
            Ok(PortRequest { protocol, container, address, host }) => {
                format!("{address:?} {host:?} {container:?} {}", protocol.name())
            }
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn ports_as_in_docker() {
        insta::assert_snapshot!(shown("80"), @"None None (80, 80) tcp");
        insta::assert_snapshot!(shown("8080:80/udp"), @"None Some((8080, 8080)) (80, 80) udp");
        insta::assert_snapshot!(shown("127.0.0.1:8080:80"), @"Some(127.0.0.1) Some((8080, 8080)) (80, 80) tcp");
        insta::assert_snapshot!(shown("127.0.0.1::80"), @"Some(127.0.0.1) None (80, 80) tcp");
        insta::assert_snapshot!(shown("[::1]:8080:80"), @"Some(::1) Some((8080, 8080)) (80, 80) tcp");
        insta::assert_snapshot!(shown("8000-8002:80-82/tcp"), @"None Some((8000, 8002)) (80, 82) tcp");
        insta::assert_snapshot!(shown("8000-8010:80"), @"None Some((8000, 8010)) (80, 80) tcp");
    }

    #[test]
    fn mistakes_are_told() {
        insta::assert_snapshot!(shown("8080:"), @"no port specified: 8080:<empty>");
        insta::assert_snapshot!(shown(""), @"no port specified: <empty>");
        insta::assert_snapshot!(shown("x:80"), @"invalid hostPort: x");
        insta::assert_snapshot!(shown("80:x"), @"invalid containerPort: x");
        insta::assert_snapshot!(shown("65536"), @"invalid containerPort: 65536");
        insta::assert_snapshot!(shown("80/icmp"), @"invalid proto: icmp");
        insta::assert_snapshot!(shown("1.2.3:80:80"), @"invalid IP address: 1.2.3");
        insta::assert_snapshot!(shown("8000-8001:80-82"), @"invalid ranges specified for container and host Ports: 80-82 and 8000-8001");
    }
}
