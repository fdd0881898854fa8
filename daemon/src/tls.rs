//! TLS of clients that come over a network: who we are, and who they have to be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::{TlsAcceptor, TlsConnector};

/// gRPC is HTTP/2, and its clients end a connection on which that was not agreed.
const PROTOCOL: &[u8] = b"h2";

/// Files in PEM form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// Our certificate, with those that lead to who is trusted.
    pub certificate: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Who signs the certificates of clients. Without, any client may come.
    pub authority: Option<PathBuf>,
}

/// How a client knows a daemon, and says who it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ClientTls {
    /// Who signs the certificate of the daemon; without, those whom the system trusts.
    pub authority: Option<PathBuf>,
    /// Our own certificate and its key.
    pub identity: Option<(PathBuf, PathBuf)>,
    /// Whose certificate it has to be; without, that of the host in the address.
    pub server_name: Option<String>,
}

/// Why files cannot be used for TLS.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not there, or has not what it should have.
    #[error("`{}` holds no {what} in PEM form", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// `certificate` or `private key`.
        what: &'static str,
        /// The cause.
        source: pem::Error,
    },
    /// Certificate and key cannot be used, or not together.
    #[error("the certificate `{}` cannot be used with the key `{}`", certificate.display(), key.display())]
    Pair {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        key: PathBuf,
        /// The cause.
        source: rustls::Error,
    },
    /// Nobody can be known by a name.
    #[error("no daemon can be known by the name `{name}`")]
    Name {
        /// The name.
        name: String,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Nobody can be trusted by a certificate.
    #[error("the certificate `{}` cannot be that of an authority", path.display())]
    Authority {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl TlsFiles {
    /// What welcomes clients.
    pub(crate) fn acceptor(&self) -> Result<TlsAcceptor, TlsError> {
        let Self { certificate, key, authority } = self;
        let provider = Arc::new(ring::default_provider());
        let pair = |source| TlsError::Pair { certificate: certificate.clone(), key: key.clone(), source };
        let builder = ServerConfig::builder_with_provider(provider.clone());
        let builder = builder.with_safe_default_protocol_versions().map_err(pair)?;
        let builder = match authority {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let wrong = |source| TlsError::Authority { path: path.clone(), source };
                let mut roots = RootCertStore::empty();
                for root in certificates(path)? {
                    roots.add(root).map_err(|error| wrong(error.into()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
                let verifier = verifier.map_err(|error: VerifierBuilderError| wrong(error.into()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let own_key = PrivateKeyDer::from_pem_file(key).map_err(|source| file(key, "private key", source))?;
        let mut config = builder.with_single_cert(certificates(certificate)?, own_key).map_err(pair)?;
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }
}

impl ClientTls {
    /// What connects, and with whom it has to be.
    pub(crate) fn connector(&self, address: &str) -> Result<(TlsConnector, ServerName<'static>), TlsError> {
        let mut roots = RootCertStore::empty();
        match &self.authority {
            Some(path) => {
                let wrong = |source| TlsError::Authority { path: path.clone(), source };
                for root in certificates(path)? {
                    roots.add(root).map_err(|error| wrong(error.into()))?;
                }
            }
            // What cannot be read trusts nobody.
            None => drop(roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs)),
        }
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let name = self.server_name.as_deref().unwrap_or(host.trim_matches(['[', ']'])).to_owned();
        let provider = Arc::new(ring::default_provider());
        let unusable = |source| TlsError::Name { name: name.clone(), source };
        let builder = ClientConfig::builder_with_provider(provider);
        let builder =
            builder.with_safe_default_protocol_versions().map_err(|error| unusable(error.into()))?;
        let builder = builder.with_root_certificates(roots);
        let mut config = match &self.identity {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => {
                let pair =
                    |source| TlsError::Pair { certificate: certificate.clone(), key: key.clone(), source };
                let own_key =
                    PrivateKeyDer::from_pem_file(key).map_err(|source| file(key, "private key", source))?;
                builder.with_client_auth_cert(certificates(certificate)?, own_key).map_err(pair)?
            }
        };
        config.alpn_protocols = vec![PROTOCOL.to_vec()];
        let server = ServerName::try_from(name.clone()).map_err(|error| unusable(error.into()))?;
        Ok((TlsConnector::from(Arc::new(config)), server))
    }
}

fn file(path: &Path, what: &'static str, source: pem::Error) -> TlsError {
    TlsError::File { path: path.to_owned(), what, source }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wrong = |source| file(path, "certificate", source);
    let all = CertificateDer::pem_file_iter(path).map_err(wrong)?;
    let all = all.collect::<Result<Vec<_>, _>>().map_err(wrong)?;
    match all.is_empty() {
        true => Err(wrong(pem::Error::NoItemsFound)),
        false => Ok(all),
    }
}
