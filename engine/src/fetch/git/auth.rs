//! Who we are for servers of HTTP: the secrets that BuildKit knows by these names.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::secrets::Secrets;

/// The value of the header `Authorization`.
pub(crate) const HEADER: &str = "GIT_AUTH_HEADER";
/// A token, which is the password of the user below.
pub(crate) const TOKEN: &str = "GIT_AUTH_TOKEN";
const TOKEN_USER: &str = "x-access-token";

/// What servers of HTTP get to see.
#[derive(Debug, Clone, Default)]
pub(crate) struct Credentials(Secrets);

impl Credentials {
    /// The secrets of a build that are meant for git.
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let is_ours = |id: &str| {
            [HEADER, TOKEN].iter().any(|name| {
                id.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
            })
        };
        Self(
            secrets
                .iter()
                .filter(|(id, _)| is_ours(id))
                .map(|(id, secret)| (id.clone(), secret.clone()))
                .collect(),
        )
    }

    /// The header for a repository, if it is one of HTTP and there is a secret for its host. What is for no host in
    /// particular is for that of the repository that the user has `named`.
    pub(super) fn header(&self, remote: &str, named: &str) -> Option<String> {
        let authority = authority(remote)?;
        let is_named = self::authority(named) == Some(authority);
        // Who says in the URL who they are, says it there.
        if authority.contains('@') {
            return None;
        }
        if let Some(header) = self.get(HEADER, authority, is_named) {
            return Some(format!("Authorization: {header}"));
        }
        let token = self.get(TOKEN, authority, is_named)?;
        Some(format!("Authorization: basic {}", STANDARD.encode(format!("{TOKEN_USER}:{token}"))))
    }

    fn get(&self, name: &str, host: &str, is_named: bool) -> Option<String> {
        let for_all = || self.0.get(name).filter(|_| is_named);
        let secret = self.0.get(&format!("{name}.{host}")).or_else(for_all)?;
        let text = String::from_utf8_lossy(secret.bytes());
        // A line feed at the end is of the file that the secret came from; one within would be another header.
        let line = text.trim_end_matches(['\r', '\n']);
        (!line.is_empty() && !line.contains(['\r', '\n', '\0'])).then(|| line.to_owned())
    }

    /// A text without the secrets.
    pub(super) fn redact(&self, text: &str) -> String {
        self.0.values().fold(text.to_owned(), |text, secret| {
            let secret = String::from_utf8_lossy(secret.bytes());
            let secret = secret.trim_end();
            if secret.is_empty() { text } else { text.replace(secret, "***") }
        })
    }
}

/// User, host and port of a URL of HTTP.
fn authority(remote: &str) -> Option<&str> {
    let (scheme, rest) = remote.split_once("://")?;
    matches!(scheme, "http" | "https").then(|| &rest[..rest.find('/').unwrap_or(rest.len())])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Secret;

    fn credentials(secrets: &[(&str, &str)]) -> Credentials {
        let secret =
            |(id, text): &(&str, &str)| ((*id).to_owned(), Secret::new(text.as_bytes().to_vec()).unwrap());
        Credentials::new(&secrets.iter().map(secret).collect())
    }

    #[test]
    fn secrets_are_for_their_host_and_for_http_alone() {
        let both = credentials(&[
            ("GIT_AUTH_TOKEN", "all\n"),
            ("GIT_AUTH_HEADER.host:8080", "Bearer one"),
            ("OTHER", "x"),
        ]);
        assert_eq!(both.0.len(), 2);
        let token = format!("Authorization: basic {}", STANDARD.encode("x-access-token:all"));
        for (remote, expected) in [
            ("https://other/a.git", Some(token.as_str())),
            ("http://host:8080/a.git", Some("Authorization: Bearer one")),
            ("https://host/a.git", Some(token.as_str())),
            ("https://me@other/a.git", None),
            ("ssh://other/a.git", None),
            ("git@other:a.git", None),
        ] {
            assert_eq!(both.header(remote, remote).as_deref(), expected, "{remote}");
        }
        assert_eq!(
            credentials(&[("GIT_AUTH_TOKEN", "a\nHost: b")]).header("https://other/a", "https://other/a"),
            None
        );
        assert_eq!(both.header("https://other/a", "https://named/a"), None);
        assert!(both.header("http://host:8080/a", "https://named/a").is_some());
        assert_eq!(both.redact("is all there"), "is *** there");
    }
}
