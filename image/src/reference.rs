//! Image names as people write them, in Docker's normal form.

use std::fmt;
use std::str::FromStr;

use crate::Digest;

/// The registry that a name without one means.
const DEFAULT_DOMAIN: &str = "docker.io";
/// The repository prefix that a one-word name on the default registry means.
const OFFICIAL_PREFIX: &str = "library/";
/// Longest repository name, from Docker's reference grammar.
const NAME_BYTES_MAX: usize = 255;
/// Longest tag, from the OCI distribution specification.
const TAG_BYTES_MAX: usize = 128;

/// An image name: registry, repository and a tag, a digest or both.
///
/// Invariant: always in normal form, so `debian` and `docker.io/library/debian:latest` are equal.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// Why a text is not an image name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// The text does not follow the grammar.
    #[error("invalid reference format: `{text}`")]
    Format {
        /// The text as given.
        text: String,
    },
    /// Repository names are lower case.
    #[error("invalid reference format: repository name `{name}` must be lowercase")]
    Uppercase {
        /// The repository as given.
        name: String,
    },
    /// The name is longer than the grammar allows.
    #[error("repository name must not be more than {NAME_BYTES_MAX} characters: `{name}`")]
    TooLong {
        /// The repository as given.
        name: String,
    },
}

impl Reference {
    /// The registry, `docker.io` when none was written.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry, `library/debian`.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag; `latest` when neither a tag nor a digest was written.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The manifest digest, when one was written.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The name as Docker shows it, without registry and `library/` where they are the default: `debian`.
    pub fn familiar_name(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return format!("{}/{}", self.domain, self.path);
        }
        match self.path.strip_prefix(OFFICIAL_PREFIX) {
            Some(word) if !word.contains('/') => word.to_owned(),
            _ => self.path.clone(),
        }
    }

    /// The name with tag or digest as Docker shows it: `debian:latest`.
    pub fn familiar(&self) -> String {
        format!("{}{}", self.familiar_name(), self.suffix())
    }

    fn suffix(&self) -> String {
        let tag = self.tag.as_ref().map(|tag| format!(":{tag}")).unwrap_or_default();
        let digest = self.digest.as_ref().map(|digest| format!("@{digest}")).unwrap_or_default();
        tag + &digest
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let format_error = || ReferenceError::Format { text: text.to_owned() };
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => (rest, Some(digest.parse().map_err(|_| format_error())?)),
            None => (text, None),
        };
        // A colon after the last slash starts a tag; before it, a port.
        let tag_at = rest.rfind(':').filter(|at| !rest[*at..].contains('/'));
        let (name, tag) = match tag_at {
            Some(at) => (&rest[..at], Some(rest[at + 1..].to_owned())),
            None => (rest, None),
        };
        if !tag.as_deref().is_none_or(is_tag) || is_hex_id(name) {
            return Err(format_error());
        }
        let (domain, path) = split_domain(name);
        if path.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(ReferenceError::Uppercase { name: path });
        }
        if !is_domain(&domain) || !path.split('/').all(is_component) {
            return Err(format_error());
        }
        if domain.len() + 1 + path.len() > NAME_BYTES_MAX {
            return Err(ReferenceError::TooLong { name: path });
        }
        let tag = if tag.is_none() && digest.is_none() { Some("latest".to_owned()) } else { tag };
        Ok(Self { domain, path, tag, digest })
    }
}

impl fmt::Display for Reference {
    /// The full name, `docker.io/library/debian:latest`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.domain, self.path, self.suffix())
    }
}

impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The first component is a registry when it looks like a host: a dot, a port, or `localhost`.
fn split_domain(name: &str) -> (String, String) {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|byte| byte.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, name),
    };
    let domain = if domain == "index.docker.io" { DEFAULT_DOMAIN } else { domain };
    if domain == DEFAULT_DOMAIN && !path.contains('/') {
        return (domain.to_owned(), format!("{OFFICIAL_PREFIX}{path}"));
    }
    (domain.to_owned(), path.to_owned())
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, Some(port)),
        _ => (domain, None),
    };
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let is_label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let is_ipv6 = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .is_some_and(|inner| inner.bytes().all(|byte| byte.is_ascii_hexdigit() || byte == b':'));
    port.is_none_or(is_port) && (is_ipv6 || host.split('.').all(is_label))
}

/// `[a-z0-9]+` runs joined by `.`, `_`, `__` or any number of `-`.
fn is_component(component: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let (Some(first), Some(last)) = (bytes.first(), bytes.last()) else { return false };
    if !is_word(*first) || !is_word(*last) {
        return false;
    }
    component.split(|c: char| c.is_ascii() && is_word(c as u8)).all(|separator| {
        matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|byte| byte == b'-')
    })
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    tag.len() <= TAG_BYTES_MAX
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|byte| is_word(byte) || byte == b'.' || byte == b'-')
}

/// A name of 64 hexadecimal digits would be taken for an image id.
fn is_hex_id(name: &str) -> bool {
    Digest::from_hex(name).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> Result<String, String> {
        text.parse::<Reference>().map(|it| it.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn names_become_normal() {
        let digest = Digest::of(b"");
        for (text, expected) in [
            ("debian", "docker.io/library/debian:latest"),
            ("debian:12", "docker.io/library/debian:12"),
            ("me/app", "docker.io/me/app:latest"),
            ("localhost/app", "localhost/app:latest"),
            ("localhost:5000/a/b:c", "localhost:5000/a/b:c"),
            ("[::1]:5000/a", "[::1]:5000/a:latest"),
            ("index.docker.io/a", "docker.io/library/a:latest"),
            ("a__b/c--d.e", "docker.io/a__b/c--d.e:latest"),
        ] {
            assert_eq!(full(text).as_deref(), Ok(expected), "{text}");
        }
        assert_eq!(full(&format!("a@{digest}")), Ok(format!("docker.io/library/a@{digest}")));
    }

    #[test]
    fn familiar_names_are_short() {
        let familiar = |text: &str| text.parse::<Reference>().expect("a reference").familiar();
        assert_eq!(familiar("docker.io/library/debian"), "debian:latest");
        assert_eq!(familiar("docker.io/me/app:1"), "me/app:1");
        assert_eq!(familiar("localhost:5000/app"), "localhost:5000/app:latest");
    }

    #[test]
    fn wrong_names_are_refused() {
        for text in
            ["", ":", "a:", "/a", "a/", "a//b", "a..b", "-a", "a:-b", "a b", "../a", "a@sha256:12", "é"]
        {
            assert!(full(text).is_err(), "{text}");
        }
        assert!(full(&Digest::of(b"").hex()).is_err(), "an image id is no name");
        assert!(full(&"a".repeat(300)).is_err());
        insta::assert_snapshot!(
            full("Debian").expect_err("upper case"),
            @"invalid reference format: repository name `library/Debian` must be lowercase"
        );
    }

    proptest::proptest! {
        #[test]
        fn printing_and_reading_again_changes_nothing(text in "[a-z0-9._/:@-]{1,40}") {
            if let Ok(reference) = text.parse::<Reference>() {
                proptest::prop_assert_eq!(reference.to_string().parse(), Ok(reference.clone()));
                proptest::prop_assert_eq!(reference.familiar().parse(), Ok(reference));
            }
        }
    }
}
