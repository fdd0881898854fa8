//! `EXPOSE`.

use std::net::IpAddr;

/// Why a text is not a port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum PortError {
    /// There is no number.
    #[error("no port in `{text}`")]
    Missing {
        /// As written.
        text: String,
    },
    /// The number is none, or above 65535.
    #[error("invalid port `{port}`: ports are numbers up to 65535, or ranges such as `8000-8010`")]
    Number {
        /// The part that is wrong.
        port: String,
    },
    /// Docker knows three protocols.
    #[error("unknown protocol `{protocol}`: expected `tcp`, `udp` or `sctp`")]
    Protocol {
        /// The part that is wrong.
        protocol: String,
    },
    /// The part in front of the port is no address.
    #[error("invalid IP address `{address}`")]
    Address {
        /// The part that is wrong.
        address: String,
    },
    /// Host and container range differ in length.
    #[error("the ranges `{host}` and `{container}` differ in length")]
    Ranges {
        /// Ports of the host.
        host: String,
        /// Ports of the container.
        container: String,
    },
}

impl PortError {
    /// The same of the port `text` in BuildKit's words.
    pub(super) fn buildkit(&self, text: &str) -> String {
        match self {
            Self::Missing { .. } => format!("invalid port: {text:?}: no port specified"),
            Self::Number { port } => {
                let is_host = text.rsplit_once(':').is_some_and(|(_, container)| container != port);
                format!("invalid {}: {port}", if is_host { "hostPort" } else { "containerPort" })
            }
            Self::Protocol { protocol } => format!("invalid port: {text:?}: invalid proto: {protocol}"),
            Self::Address { address } => format!("invalid IP address: {address}"),
            Self::Ranges { host, container } => {
                format!("invalid ranges specified for container and host Ports: {container} and {host}")
            }
        }
    }
}

/// The ports of `[[ip:]host:]port[-port][/protocol]`, each as `port/protocol`. The host's part is checked and
/// means nothing.
pub(super) fn expose(text: &str) -> Result<Vec<String>, PortError> {
    let (front, last) = match text.rsplit_once(':') {
        Some((front, last)) => (Some(front), last),
        None => (None, text),
    };
    let (container, protocol) = last.split_once('/').unwrap_or((last, ""));
    if container.is_empty() {
        return Err(PortError::Missing { text: text.to_owned() });
    }
    let protocol = match protocol.to_lowercase() {
        empty if empty.is_empty() => "tcp".to_owned(),
        known if matches!(&*known, "tcp" | "udp" | "sctp") => known,
        protocol => return Err(PortError::Protocol { protocol }),
    };
    let (start, end) = range(container)?;
    if let Some(front) = front {
        check_host(front, container, end - start)?;
    }
    Ok((start..=end).map(|port| format!("{port}/{protocol}")).collect())
}

fn check_host(front: &str, container: &str, length: u16) -> Result<(), PortError> {
    let (address, host) = match front.rsplit_once(':') {
        Some((address, host)) => (address, host),
        None => ("", front),
    };
    let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
    if !bare.is_empty() && bare.parse::<IpAddr>().is_err() {
        return Err(PortError::Address { address: address.to_owned() });
    }
    if host.is_empty() {
        return Ok(());
    }
    let (start, end) = range(host)?;
    if end - start != length && length != 0 {
        return Err(PortError::Ranges { host: host.to_owned(), container: container.to_owned() });
    }
    Ok(())
}

fn range(text: &str) -> Result<(u16, u16), PortError> {
    let number = |part: &str| {
        let is_number = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| part.parse::<u16>().ok()).flatten()
    };
    let ports = match text.split_once('-') {
        Some((start, end)) => number(start).zip(number(end)),
        None => number(text).map(|port| (port, port)),
    };
    ports.filter(|(start, end)| start <= end).ok_or_else(|| PortError::Number { port: text.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_ranges_and_protocols() {
        let ok =
            |text: &str| expose(text).map(|ports| ports.join(" ")).unwrap_or_else(|error| error.to_string());
        for (text, expected) in [
            ("80", "80/tcp"),
            ("80/UDP", "80/udp"),
            ("80-82/sctp", "80/sctp 81/sctp 82/sctp"),
            ("8080:80", "80/tcp"),
            ("127.0.0.1:8080:80", "80/tcp"),
            ("[::1]:8080:80", "80/tcp"),
            ("8000-8001:80-81", "80/tcp 81/tcp"),
            ("8000-8009:80", "80/tcp"),
            ("", "no port in ``"),
            ("/tcp", "no port in `/tcp`"),
            ("80/xyz", "unknown protocol `xyz`: expected `tcp`, `udp` or `sctp`"),
            ("x:8080:80", "invalid IP address `x`"),
            ("8000-8009:80-81", "the ranges `8000-8009` and `80-81` differ in length"),
        ] {
            assert_eq!(ok(text), expected, "{text}");
        }
        for text in ["65536", "a", "82-80", "80-", "-80", "+80"] {
            assert!(matches!(expose(text), Err(PortError::Number { .. })), "{text}");
        }
    }
}
