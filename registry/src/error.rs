//! What can go wrong with a registry.

use std::fmt;
use std::io;

use image::{BlobDigest, Digest};

use crate::auth::CredentialError;
use crate::manifest::KindError;
use crate::settings::RegistriesError;

/// Why a registry did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// No connection, or it broke.
    #[error("cannot reach registry `{host}`")]
    Unreachable {
        /// Host and port.
        host: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// The other side says nothing any more.
    #[error("registry `{host}` was silent for {seconds} s")]
    Silent {
        /// Host and port.
        host: String,
        /// How long we waited.
        seconds: u64,
    },
    /// A transfer stopped before its end.
    #[error("`{host}` stopped after {at} of {size_bytes} bytes of blob {digest}")]
    Broken {
        /// Host and port.
        host: String,
        /// The blob.
        digest: BlobDigest,
        /// Where.
        at: u64,
        /// Its size.
        size_bytes: u64,
    },
    /// An answer that says no.
    #[error("registry `{host}` answered {status} to {request}{detail}")]
    Status {
        /// Host and port.
        host: String,
        /// Method and path.
        request: String,
        /// HTTP status code.
        status: u16,
        /// What the registry said about it.
        detail: ErrorDetail,
    },
    /// No such manifest.
    #[error("manifest for {name} not found{detail}")]
    NoManifest {
        /// The image.
        name: String,
        /// What the registry said about it.
        detail: ErrorDetail,
    },
    /// No such blob.
    #[error("registry `{host}` does not have blob {digest}")]
    NoBlob {
        /// Host and port.
        host: String,
        /// The blob.
        digest: BlobDigest,
    },
    /// The registry wants other credentials than it got, or has no such repository.
    #[error(
        "access denied for {repository}, repository does not exist or may require 'slipway login {host}'{detail}"
    )]
    Denied {
        /// As it was named.
        host: String,
        /// The repository.
        repository: String,
        /// What the registry said about it.
        detail: ErrorDetail,
    },
    /// User name and password are wrong.
    #[error("`{host}` refused the user name and the password{detail}")]
    Unauthorized {
        /// Who refused.
        host: String,
        /// What it said about it.
        detail: ErrorDetail,
    },
    /// A redirect or a token server would take what is encrypted in the clear.
    #[error("`{from}` sends us to `{to}`, which is not encrypted")]
    Downgrade {
        /// Who.
        from: String,
        /// Where to.
        to: String,
    },
    /// Credentials would go to a host that has nothing to do with the registry.
    #[error("registry `{host}` wants its credentials sent to `{realm}`")]
    ForeignRealm {
        /// Host and port.
        host: String,
        /// Host of the token server.
        realm: String,
    },
    /// An answer that no registry should give.
    #[error("registry `{host}`: {what}")]
    Protocol {
        /// Host and port.
        host: String,
        /// What is wrong with it.
        what: String,
    },
    /// A manifest whose bytes are not those of its digest.
    #[error("manifest has digest {actual}, expected {expected}")]
    WrongDigest {
        /// What was asked for or promised.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// A manifest of another size than promised.
    #[error("manifest {digest} has {actual} bytes, expected {expected}")]
    WrongSize {
        /// Its digest.
        digest: Digest,
        /// The promise.
        expected: u64,
        /// What came.
        actual: u64,
    },
    /// A blob of another size than promised.
    #[error("blob {digest} has {actual} bytes, expected {expected}")]
    WrongBlobSize {
        /// Its digest.
        digest: BlobDigest,
        /// The promise.
        expected: u64,
        /// What the registry has.
        actual: u64,
    },
    /// A document of a kind that is no image.
    #[error("`{name}` is not an image that can be used here")]
    Kind {
        /// Which.
        name: String,
        /// Why.
        source: KindError,
    },
    /// More than a limit allows.
    #[error("registry `{host}` sends more than {max} {what}")]
    TooMuch {
        /// Host and port.
        host: String,
        /// Of what.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// A layer that only another server has, at an address that is not encrypted.
    #[error("layer {digest} is to be fetched from `{url}`, which is not encrypted")]
    ForeignLayer {
        /// The layer.
        digest: BlobDigest,
        /// Where it is.
        url: String,
    },
    /// Credentials cannot be read or written.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The settings of registries cannot be read.
    #[error(transparent)]
    Settings(#[from] RegistriesError),
    /// The sink of a blob.
    #[error("cannot keep blob {digest}")]
    Sink {
        /// The blob.
        digest: BlobDigest,
        /// The cause.
        source: io::Error,
    },
    /// The source of a blob.
    #[error("cannot read blob {digest} to send it")]
    Source {
        /// The blob.
        digest: BlobDigest,
        /// The cause.
        source: io::Error,
    },
}

impl RegistryError {
    /// Whether it is the network's or the registry's fault, and may be gone later.
    pub fn is_network(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Broken { .. } => true,
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            _ => false,
        }
    }

    /// Whether the registry has no such thing, or tells us so.
    pub fn is_absent(&self) -> bool {
        match self {
            Self::NoManifest { .. } | Self::NoBlob { .. } | Self::Denied { .. } => true,
            Self::Status { status, .. } => *status == 404,
            _ => false,
        }
    }

    pub(crate) fn status(&self) -> Option<u16> {
        match self {
            Self::Status { status, .. } => Some(*status),
            _ => None,
        }
    }
}

/// What a registry said about its refusal. Prints as the tail of a sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ErrorDetail(pub Vec<String>);

impl ErrorDetail {
    /// Reads the error document of the distribution specification, or else the first words of a text.
    pub fn parse(body: &[u8]) -> Self {
        #[derive(serde::Deserialize)]
        struct Document {
            errors: Option<Vec<Entry>>,
            details: Option<String>,
        }
        #[derive(serde::Deserialize)]
        struct Entry {
            code: Option<String>,
            message: Option<String>,
        }
        let clean = |text: &str| -> String {
            let printable = text.chars().map(|c| if c.is_control() { ' ' } else { c });
            printable.take(crate::limits::DETAIL_CHARS_MAX).collect::<String>().trim().to_owned()
        };
        let text = match serde_json::from_slice::<Document>(body) {
            Ok(Document { errors: Some(entries), .. }) => {
                let words = |entry: Entry| {
                    let code = entry.code.unwrap_or_default().to_lowercase().replace('_', " ");
                    match entry.message.filter(|message| !message.is_empty()) {
                        Some(message) if code.is_empty() => message,
                        Some(message) => format!("{code}: {message}"),
                        None => code,
                    }
                };
                return Self(entries.into_iter().take(3).map(|entry| clean(&words(entry))).collect());
            }
            Ok(Document { details: Some(details), .. }) => clean(&details),
            Ok(_) => String::new(),
            // A page for people says nothing in a terminal.
            Err(_) if body.starts_with(b"<") => String::new(),
            Err(_) => clean(&String::from_utf8_lossy(&body[..body.len().min(4096)])),
        };
        Self(if text.is_empty() { Vec::new() } else { vec![text] })
    }
}

impl fmt::Display for ErrorDetail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, ": {}", self.0.join("; ")) }
    }
}
