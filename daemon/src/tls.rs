//! TLS of clients that come over a network: who we are, and who they have to be.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{VerifierBuilderError, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

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
