//! What can go wrong with an HTTP server.

use std::error::Error;
use std::io;
use std::time::Duration;

use image::Digest;

/// Whose fault an error is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The user asks for what is not there, or is something else.
    User,
    /// The network or a server does not work.
    Network,
    /// This machine.
    Machine,
}

/// Why a file of an HTTP server cannot be had. URLs are without their passwords.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The text is no URL.
    #[error("`{url}` is not a valid URL")]
    Url {
        /// What was given.
        url: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// The environment names a proxy that cannot be one.
    #[error("`{variable}` does not name a proxy that can be used")]
    Proxy {
        /// The variable of the environment.
        variable: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// TLS cannot be set up.
    #[error("cannot set up TLS")]
    Tls {
        /// The cause.
        source: Box<dyn Error + Send + Sync>,
    },
    /// There is no connection.
    #[error("cannot reach `{url}`")]
    Unreachable {
        /// The URL.
        url: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// The server does not show that it is the one that is meant.
    #[error("`{url}` has no certificate that this system trusts")]
    Certificate {
        /// The URL.
        url: String,
        /// The cause.
        source: rustls::Error,
    },
    /// The server does not say anything any more.
    #[error("`{url}` has been silent for {} seconds", silence.as_secs())]
    Silent {
        /// The URL.
        url: String,
        /// For how long.
        silence: Duration,
    },
    /// The server takes too long over the whole file.
    #[error("`{url}` takes longer than {} seconds", time_max.as_secs())]
    Slow {
        /// The URL.
        url: String,
        /// The limit.
        time_max: Duration,
    },
    /// The server sends us around.
    #[error("`{url}` redirects more than {redirects_max} times")]
    Redirects {
        /// The URL.
        url: String,
        /// The limit.
        redirects_max: usize,
    },
    /// The server says no.
    #[error("`{url}` answers {status}")]
    Status {
        /// The URL.
        url: String,
        /// The code and its meaning.
        status: reqwest::StatusCode,
    },
    /// The connection ended in the middle.
    #[error("the connection to `{url}` broke")]
    Broken {
        /// The URL.
        url: String,
        /// The cause.
        source: reqwest::Error,
    },
    /// No file may be that large.
    #[error("`{url}` is larger than {size_bytes_max} bytes")]
    TooLarge {
        /// The URL.
        url: String,
        /// The limit.
        size_bytes_max: u64,
    },
    /// The file is not the one that was asked for.
    #[error("`{url}` has the checksum {actual}, expected {expected}")]
    Checksum {
        /// The URL.
        url: String,
        /// What was asked for.
        expected: Digest,
        /// Of the bytes that came.
        actual: Digest,
    },
    /// The file cannot be kept.
    #[error("cannot write a file from the network")]
    Write {
        /// The cause.
        source: io::Error,
    },
}

/// Whether a server that answers so may answer otherwise later: RFC 9110, sections 15.5.9 and 15.6, and RFC 6585.
pub(crate) fn status_may_pass(status: u16) -> bool {
    matches!(status, 408 | 429 | 500 | 502 | 503 | 504)
}

impl HttpError {
    /// Whether the same request can succeed a moment later.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Silent { .. } | Self::Broken { .. } => true,
            Self::Status { status, .. } => status_may_pass(status.as_u16()),
            Self::Url { .. }
            | Self::Proxy { .. }
            | Self::Tls { .. }
            | Self::Certificate { .. }
            | Self::Slow { .. }
            | Self::Redirects { .. }
            | Self::TooLarge { .. }
            | Self::Checksum { .. }
            | Self::Write { .. } => false,
        }
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        match self {
            Self::Url { .. } | Self::Proxy { .. } | Self::TooLarge { .. } | Self::Checksum { .. } => {
                Fault::User
            }
            // Asking again later does not help, see RFC 9110, section 15.5.
            Self::Status { status, .. } if status.is_client_error() => Fault::User,
            Self::Tls { .. } | Self::Write { .. } => Fault::Machine,
            Self::Unreachable { .. }
            | Self::Certificate { .. }
            | Self::Silent { .. }
            | Self::Slow { .. }
            | Self::Redirects { .. }
            | Self::Status { .. }
            | Self::Broken { .. } => Fault::Network,
        }
    }
}
