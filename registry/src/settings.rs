//! How registries are reached: `registries.toml`, certificates, credentials.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use reqwest::Url;
use serde::Deserialize;

use crate::auth::Credentials;
use crate::limits::FILE_BYTES_MAX;
use crate::retry::RetryPolicy;

/// The registry whose API is on another host than its name.
const DOCKER_HUB: &str = "docker.io";
const DOCKER_HUB_API: &str = "registry-1.docker.io";

/// How a client reaches registries.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// What `registries.toml` says.
    pub registries: RegistriesFile,
    /// Directories in which `HOST:PORT/` holds `*.crt` (who signs the registry's certificate) and `*.cert` with
    /// `*.key` (our own), as in `/etc/docker/certs.d`.
    pub certificate_directories: Vec<PathBuf>,
    /// `--tls-verify`.
    pub tls_verify: TlsVerify,
    /// Who we are.
    pub credentials: Credentials,
    /// When to try again.
    pub retry: RetryPolicy,
}

/// Whether a registry must prove who it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TlsVerify {
    /// By a certificate, unless its settings say otherwise or it is on this machine.
    #[default]
    Required,
    /// No registry must; one that speaks no TLS is used without.
    Skipped,
}

/// The file `registries.toml`.
///
/// ```toml
/// [registry."docker.io"]
/// mirrors = ["https://mirror.example"]       # asked first when images are pulled
///
/// [registry."registry.example:5000"]
/// insecure = true                            # any certificate will do, and no TLS as well
/// http = true                                # no TLS
/// ca = ["/etc/registry/ca.pem"]              # who signs its certificate, beside those of the system
/// keypair = [{ key = "/etc/registry/key.pem", cert = "/etc/registry/cert.pem" }]   # our own certificate
/// token-hosts = ["login.example"]            # may get the credentials of this registry
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistriesFile {
    #[serde(default)]
    registry: BTreeMap<String, RegistrySettings>,
}

/// What the file says of one registry.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct RegistrySettings {
    /// Who is asked first when images are pulled: `HOST[:PORT]`, or URLs.
    pub mirrors: Vec<String>,
    /// Any certificate will do, and no TLS as well.
    pub insecure: bool,
    /// It speaks no TLS.
    pub http: bool,
    /// Files with the certificates of those who sign its own, beside those of the system.
    pub ca: Vec<PathBuf>,
    /// Our own certificates; the last one counts.
    pub keypair: Vec<KeyPair>,
    /// Hosts that may get the credentials of this registry.
    pub token_hosts: Vec<String>,
}

/// A certificate and its key, as files in PEM form.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyPair {
    /// The key.
    pub key: PathBuf,
    /// The certificate, with those that lead to who is trusted.
    pub cert: PathBuf,
}

/// Why `registries.toml` or a certificate cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum RegistriesError {
    /// The file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The file is no TOML of this kind.
    #[error("`{}` is not a valid registries file", path.display())]
    Format {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: Box<toml::de::Error>,
    },
    /// A mirror is no host.
    #[error("mirror `{mirror}` of `{registry}` is neither HOST[:PORT] nor a URL of http or https")]
    Mirror {
        /// As written.
        mirror: String,
        /// Whose.
        registry: String,
    },
    /// A certificate or key cannot be used.
    #[error("`{}` holds no {what} in PEM form", path.display())]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
    },
    /// A certificate without its key.
    #[error("client certificate `{}` has no `{}` beside it", path.display(), key.display())]
    NoKey {
        /// The certificate.
        path: PathBuf,
        /// The missing key.
        key: PathBuf,
    },
    /// Certificate and key cannot be used for TLS.
    #[error("the certificates for `{host}` cannot be used")]
    Tls {
        /// Whose.
        host: String,
        /// The cause.
        source: rustls::Error,
    },
    /// The HTTP client does not start.
    #[error("cannot set up the connection to `{host}`")]
    Http {
        /// To whom.
        host: String,
        /// The cause.
        source: reqwest::Error,
    },
}

/// One place where a registry's content is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Endpoint {
    /// Host and port; also the name for certificates and settings.
    pub(crate) authority: String,
    /// The scheme, where it is given.
    pub(crate) scheme: Option<String>,
    /// Before `/v2/`, without a slash at its end.
    pub(crate) prefix: String,
    /// The registry whose credentials are for this place.
    pub(crate) domain: String,
}

impl RegistriesFile {
    /// Reads a file; one that is not there says nothing.
    pub fn read(path: &Path) -> Result<Self, RegistriesError> {
        let Some(text) = read_text(path)? else { return Ok(Self::default()) };
        toml::from_str(&text)
            .map_err(|source| RegistriesError::Format { path: path.to_owned(), source: Box::new(source) })
    }

    /// Says something else of a registry than the file.
    pub fn insert(&mut self, domain: String, settings: RegistrySettings) {
        self.registry.insert(domain, settings);
    }

    pub(crate) fn of(&self, domain: &str) -> RegistrySettings {
        self.registry.get(domain).cloned().unwrap_or_default()
    }

    /// The mirrors of a registry, in order.
    pub(crate) fn mirrors(&self, domain: &str) -> Result<Vec<Endpoint>, RegistriesError> {
        let mirrors = self.of(domain).mirrors;
        mirrors.iter().map(|mirror| Endpoint::of_mirror(domain, mirror)).collect()
    }
}

impl Endpoint {
    /// The registry itself.
    pub(crate) fn of_registry(domain: &str) -> Self {
        let authority = if domain == DOCKER_HUB { DOCKER_HUB_API } else { domain };
        Self {
            authority: authority.to_owned(),
            scheme: None,
            prefix: String::new(),
            domain: domain.to_owned(),
        }
    }

    fn of_mirror(registry: &str, mirror: &str) -> Result<Self, RegistriesError> {
        let wrong = || RegistriesError::Mirror { mirror: mirror.to_owned(), registry: registry.to_owned() };
        let has_scheme = mirror.contains("://");
        let text = if has_scheme { mirror.to_owned() } else { format!("https://{mirror}") };
        let url: Url = text.parse().map_err(|_| wrong())?;
        let host = url.host_str().filter(|_| matches!(url.scheme(), "http" | "https"));
        let is_plain = url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        let (Some(host), true) = (host, is_plain) else { return Err(wrong()) };
        let authority = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        Ok(Self {
            domain: authority.clone(),
            authority,
            scheme: has_scheme.then(|| url.scheme().to_owned()),
            prefix: url.path().trim_end_matches('/').to_owned(),
        })
    }
}

/// A small text file; none when it is not there.
pub(crate) fn read_text(path: &Path) -> Result<Option<String>, RegistriesError> {
    let failed = |source| RegistriesError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    match fs::File::open(path) {
        Ok(file) => file.take(FILE_BYTES_MAX).read_to_string(&mut text).map_err(failed)?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(error)),
    };
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RegistriesFile, RegistriesError> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        RegistriesFile::read(file.path())
    }

    #[test]
    fn mirrors_are_hosts_or_urls() {
        let text = r#"registry."docker.io".mirrors = ["m.example:5000", "http://localhost:5000/hub/"]"#;
        let mirrors = parse(text).unwrap().mirrors("docker.io").unwrap();
        let shown: Vec<_> = mirrors
            .iter()
            .map(|it| format!("{:?} {} {}", it.scheme.as_deref(), it.authority, it.prefix))
            .collect();
        assert_eq!(shown, ["None m.example:5000 ", "Some(\"http\") localhost:5000 /hub"]);
        for mirror in ["ftp://x", "http://", "http://u@x", "x?y"] {
            let file = parse(&format!("registry.a.mirrors = [\"{mirror}\"]")).unwrap();
            assert!(file.mirrors("a").is_err(), "{mirror}");
        }
    }

    #[test]
    fn unknown_words_are_refused() {
        let error = parse("[registry.a]\ninsecur = true").unwrap_err();
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert!(cause.contains("unknown field `insecur`"), "{cause}");
        assert_eq!(RegistriesFile::read(Path::new("/no/such/file")).unwrap(), RegistriesFile::default());
    }
}
