//! Who we are for servers of files: the secrets that BuildKit knows by these names.

use std::sync::Arc;

use crate::secrets::Secrets;

/// The value of the header `Authorization`, for the host that the id ends with.
pub(super) const HEADER: &str = "HTTP_AUTH_HEADER_";
/// A bearer token, for the host that the id ends with.
pub(super) const TOKEN: &str = "HTTP_AUTH_TOKEN_";

/// What servers of files get to see, each its own.
#[derive(Debug, Clone, Default)]
pub(crate) struct FileCredentials(Arc<Secrets>);

impl FileCredentials {
    /// The secrets of a build that are meant for servers of files.
    pub(crate) fn new(secrets: &Secrets) -> Self {
        let ours = secrets.iter().filter(|(id, _)| id.starts_with(HEADER) || id.starts_with(TOKEN));
        Self(Arc::new(ours.map(|(id, secret)| (id.clone(), secret.clone())).collect()))
    }

    /// The value of the header `Authorization` for a URL. Who says in the URL who they are, says it there.
    pub(super) fn authorization(&self, url: &str) -> Option<String> {
        let (_, rest) = url.split_once("://")?;
        let authority = &rest[..rest.find(['/', '?', '#']).unwrap_or(rest.len())];
        if authority.contains('@') {
            return None;
        }
        // A secret for one port goes before one for the host.
        [authority, host(authority)].into_iter().find_map(|place| {
            let header = self.get(HEADER, place);
            header.or_else(|| self.get(TOKEN, place).map(|token| format!("Bearer {token}")))
        })
    }

    fn get(&self, name: &str, host: &str) -> Option<String> {
        let secret = self.0.get(&format!("{name}{host}"))?;
        let text = String::from_utf8_lossy(secret.bytes());
        // A line feed at the end is of the file that the secret came from; one within would be another header.
        let line = text.trim_end_matches(['\r', '\n']);
        (!line.is_empty() && !line.contains(['\r', '\n', '\0'])).then(|| line.to_owned())
    }
}

/// The host of an authority; an address of version 6 keeps its brackets.
pub(super) fn host(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secrets::Secret;

    #[test]
    fn each_server_gets_what_is_for_it() {
        let secrets = [
            ("HTTP_AUTH_TOKEN_host", "one\n"),
            ("HTTP_AUTH_TOKEN_host:8080", "two"),
            ("HTTP_AUTH_HEADER_other", "Basic x"),
            ("HTTP_AUTH_TOKEN_other", "never"),
            ("HTTP_AUTH_TOKEN_[::1]", "six"),
            ("HTTP_AUTH_TOKEN_split", "a\nHost: b"),
            ("HTTP_AUTH_TOKEN", "for nobody"),
        ];
        let secret =
            |(id, text): (&str, &str)| (id.to_owned(), Secret::new(text.as_bytes().to_vec()).unwrap());
        let credentials = FileCredentials::new(&secrets.into_iter().map(secret).collect());
        for (url, expected) in [
            ("https://host/a", Some("Bearer one")),
            ("http://host:80/a", Some("Bearer one")),
            ("https://host:8080/a", Some("Bearer two")),
            ("https://other?x", Some("Basic x")),
            ("https://[::1]:7/a", Some("Bearer six")),
            ("https://me@host/a", None),
            ("https://split/a", None),
            ("https://elsewhere/host", None),
        ] {
            assert_eq!(credentials.authorization(url).as_deref(), expected, "{url}");
        }
    }
}
