//! Which token servers may get the credentials of a registry.

use reqwest::Url;

use crate::RegistryError;

/// Whether a token server gets the registry's credentials or only an anonymous question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Credentials,
    Nothing,
}

/// Decides about the token server that a registry names.
///
/// It is trusted when it is the registry's own host, one beneath it or beside it (`auth.docker.io` for
/// `registry-1.docker.io`), or one that the settings name; and when what goes there is encrypted, or stays on the
/// host of a registry that speaks no TLS itself.
///
/// # Errors
///
/// [`RegistryError::Downgrade`] when the registry speaks TLS and its token server does not.
pub(super) fn trust(registry: &Url, realm: &Url, token_hosts: &[String]) -> Result<Trust, RegistryError> {
    let (from, to) = (registry.host_str().unwrap_or_default(), realm.host_str().unwrap_or_default());
    if registry.scheme() == "https" && realm.scheme() != "https" {
        return Err(RegistryError::Downgrade { from: registry.to_string(), to: realm.to_string() });
    }
    let is_encrypted = realm.scheme() == "https";
    let is_same = from == to || (is_loopback(from) && is_loopback(to));
    let is_known = is_family(from, to) || token_hosts.iter().any(|host| host == to);
    Ok(if is_same || (is_encrypted && is_known) { Trust::Credentials } else { Trust::Nothing })
}

/// Whether two hosts belong together by their names.
fn is_family(registry: &str, realm: &str) -> bool {
    let is_below = |name: &str, above: &str| name.strip_suffix(above).is_some_and(|rest| rest.ends_with('.'));
    let is_number = registry.parse::<std::net::IpAddr>().is_ok();
    if is_number || registry.starts_with('[') {
        return false;
    }
    // The parent of a name of two words is a whole top-level domain.
    let parent = registry.split_once('.').map(|(_, parent)| parent).filter(|parent| parent.contains('.'));
    is_below(realm, registry) || parent.is_some_and(|parent| realm == parent || is_below(realm, parent))
}

/// Whether a host is this machine.
pub(crate) fn is_loopback(host: &str) -> bool {
    let inner = host.trim_start_matches('[').trim_end_matches(']');
    host == "localhost" || inner.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(registry: &str, realm: &str) -> String {
        match trust(&registry.parse().unwrap(), &realm.parse().unwrap(), &["login.example".to_owned()]) {
            Ok(trust) => format!("{trust:?}"),
            Err(_) => "Downgrade".to_owned(),
        }
    }

    #[test]
    fn credentials_stay_in_the_family() {
        for (registry, realm, expected) in [
            ("https://registry-1.docker.io", "https://auth.docker.io/token", "Credentials"),
            ("https://ghcr.io", "https://ghcr.io/token", "Credentials"),
            ("https://ghcr.io", "https://auth.ghcr.io/token", "Credentials"),
            ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", "Credentials"),
            ("https://r.example:5000", "https://r.example/auth", "Credentials"),
            ("https://r.example", "https://login.example/auth", "Credentials"),
            ("https://ghcr.io", "https://evil.io/token", "Nothing"),
            ("https://r.example", "https://evilr.example/token", "Nothing"),
            ("https://10.0.0.1", "https://10.0.0.2", "Nothing"),
            ("https://r.example", "http://r.example/token", "Downgrade"),
            ("http://r.example", "http://r.example:5001/token", "Credentials"),
            ("http://r.example", "http://login.example/token", "Nothing"),
            ("http://localhost:5000", "http://127.0.0.1:5001/token", "Credentials"),
            ("http://localhost:5000", "http://evil.example/token", "Nothing"),
        ] {
            assert_eq!(shown(registry, realm), expected, "{registry} {realm}");
        }
    }
}
