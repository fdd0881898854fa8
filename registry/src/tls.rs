//! TLS: who may sign a registry's certificate, and our own.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use crate::settings::{KeyPair, RegistriesError, RegistrySettings};

/// What is on disk for one registry.
#[derive(Default)]
pub(crate) struct Certificates {
    /// Signers beside those of the system.
    roots: Vec<CertificateDer<'static>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
}

/// Whether the other side must prove who it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verification {
    Certificate,
    None,
}

impl Certificates {
    /// Reads the directory `HOST:PORT` of each of `directories`.
    pub(crate) fn read(directories: &[PathBuf], authority: &str) -> Result<Self, RegistriesError> {
        let mut found = Self::default();
        for directory in directories {
            found.add(&directory.join(authority))?;
        }
        Ok(found)
    }

    /// Adds the files that `registries.toml` names.
    pub(crate) fn add_named(&mut self, settings: &RegistrySettings) -> Result<(), RegistriesError> {
        for path in &settings.ca {
            self.roots.extend(certificates(path)?);
        }
        for KeyPair { key, cert } in &settings.keypair {
            self.identity = Some((certificates(cert)?, private_key(key)?));
        }
        Ok(())
    }

    /// Whether somebody said who signs the registry's certificate.
    pub(crate) fn has_roots(&self) -> bool {
        !self.roots.is_empty()
    }

    fn add(&mut self, directory: &Path) -> Result<(), RegistriesError> {
        let failed = |source| RegistriesError::Read { path: directory.to_owned(), source };
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(());
            }
            Err(error) => return Err(failed(error)),
        };
        let mut paths = Vec::new();
        for entry in entries {
            paths.push(entry.map_err(failed)?.path());
        }
        paths.sort_unstable();
        for path in paths {
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("crt") => self.roots.extend(certificates(&path)?),
                Some("cert") => {
                    let key = path.with_extension("key");
                    if !key.is_file() {
                        return Err(RegistriesError::NoKey { path, key });
                    }
                    self.identity = Some((certificates(&path)?, private_key(&key)?));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The settings of connections to the registry itself.
    pub(crate) fn own(&self, verification: Verification) -> Result<ClientConfig, rustls::Error> {
        let builder = self.verifying(verification)?;
        match &self.identity {
            Some((chain, key)) => builder.with_client_auth_cert(chain.clone(), key.clone_key()),
            None => Ok(builder.with_no_client_auth()),
        }
    }

    /// The settings of connections to hosts that the registry sends us to: they do not learn who we are.
    pub(crate) fn others(&self, verification: Verification) -> Result<ClientConfig, rustls::Error> {
        Ok(self.verifying(verification)?.with_no_client_auth())
    }

    fn verifying(
        &self,
        verification: Verification,
    ) -> Result<rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert>, rustls::Error> {
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        Ok(match verification {
            Verification::None => {
                builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
            }
            Verification::Certificate if self.roots.is_empty() => {
                builder.with_root_certificates(system_roots().clone())
            }
            Verification::Certificate => {
                let mut roots = RootCertStore::clone(system_roots());
                for root in &self.roots {
                    roots.add(root.clone())?;
                }
                builder.with_root_certificates(roots)
            }
        })
    }
}

/// The signers that the system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` name others.
pub fn system_roots() -> &'static Arc<RootCertStore> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        let loaded = rustls_native_certs::load_native_certs();
        for error in &loaded.errors {
            tracing::warn!(%error, "a certificate of the system is not used");
        }
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(loaded.certs);
        Arc::new(roots)
    })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, RegistriesError> {
    let wrong = || RegistriesError::Certificate { path: path.to_owned(), what: "certificate" };
    let bytes = fs::read(path).map_err(|source| RegistriesError::Read { path: path.to_owned(), source })?;
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|_| wrong())?;
    if found.is_empty() { Err(wrong()) } else { Ok(found) }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, RegistriesError> {
    let bytes = fs::read(path).map_err(|source| RegistriesError::Read { path: path.to_owned(), source })?;
    PrivateKeyDer::from_pem_slice(&bytes)
        .map_err(|_| RegistriesError::Certificate { path: path.to_owned(), what: "private key" })
}

/// Accepts every certificate: for registries that are insecure by their settings.
#[derive(Debug)]
struct AnyCertificate(Arc<CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
