//! The HTTP client.

use std::error::Error;
use std::ffi::OsString;
use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, ETAG, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use rustls::ClientConfig;

use super::body::is_unambiguous;
use super::proxies::Proxies;
use super::{Body, HttpError};

/// Longest wait for a connection.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(30);
/// Longest wait for more of an answer.
pub(super) const SILENCE_MAX: Duration = Duration::from_secs(60);
/// Go's clients give up after as many, and so BuildKit.
const REDIRECTS_MAX: usize = 10;
const USER_AGENT: &str = concat!("slipway/", env!("CARGO_PKG_VERSION"));

/// A client of HTTP servers, set up when it is first used: that takes some milliseconds.
#[derive(Debug)]
pub(crate) struct HttpClient {
    proxies: Proxies,
    client: OnceLock<Client>,
}

/// What a server tells to recognise a file by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Validators {
    pub(crate) etag: Option<String>,
    pub(crate) last_modified: Option<String>,
}

/// What a server answers.
pub(crate) enum Answer {
    /// The file is the one that is known.
    Unchanged,
    /// The file.
    File(Body),
}

impl HttpClient {
    /// A client that uses the proxies of these variables, such as `HTTPS_PROXY`.
    pub(crate) fn new(proxy_env: &[(String, String)]) -> Self {
        Self { proxies: Proxies::new(proxy_env), client: OnceLock::new() }
    }

    /// Asks for a file, if it is not the one that `known` tells of. Who we are is told to no other host than that
    /// of the URL, wherever it sends us.
    pub(crate) async fn get(
        &self,
        url: &str,
        known: &Validators,
        authorization: Option<&str>,
    ) -> Result<Answer, HttpError> {
        let shown = graph::redacted(url);
        let mut request = known.ask(self.client()?.get(url));
        if let Some(authorization) = authorization {
            request = request.header(AUTHORIZATION, authorization);
        }
        let response = request.send().await.map_err(|error| explain(&shown, error))?;
        match response.status() {
            StatusCode::NOT_MODIFIED if !known.is_empty() => Ok(Answer::Unchanged),
            status if status.is_success() => Ok(Answer::File(Body::new(shown, response))),
            status => Err(HttpError::Status { url: shown, status }),
        }
    }

    fn client(&self) -> Result<&Client, HttpError> {
        if let Some(client) = self.client.get() {
            return Ok(client);
        }
        let client = build(&self.proxies)?;
        Ok(self.client.get_or_init(|| client))
    }
}

fn build(proxies: &Proxies) -> Result<Client, HttpError> {
    let builder = Client::builder()
        .user_agent(USER_AGENT)
        .tls_backend_preconfigured(tls()?)
        .connect_timeout(CONNECT_TIME_MAX)
        .read_timeout(SILENCE_MAX)
        .redirect(Policy::limited(REDIRECTS_MAX));
    proxies.apply(builder)?.build().map_err(|error| HttpError::Tls { source: error.into() })
}

/// A client that uses the proxies of our own environment.
pub(crate) fn client_of_environment() -> Result<Client, HttpError> {
    let text =
        |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
    build(&Proxies::new(&std::env::vars_os().filter_map(text).collect::<Vec<_>>()))
}

impl Validators {
    pub(super) fn of(response: &Response) -> Self {
        let header =
            |name| response.headers().get(name).and_then(|value| value.to_str().ok().map(str::to_owned));
        let last_modified = header(LAST_MODIFIED).filter(|_| is_unambiguous(response));
        Self { etag: header(ETAG), last_modified }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.etag.is_none() && self.last_modified.is_none()
    }

    fn ask(&self, mut request: RequestBuilder) -> RequestBuilder {
        if let Some(etag) = &self.etag {
            request = request.header(IF_NONE_MATCH, etag);
        }
        if let Some(last_modified) = &self.last_modified {
            request = request.header(IF_MODIFIED_SINCE, last_modified);
        }
        request
    }
}

/// TLS with the certificates of the system: `SSL_CERT_FILE`, `SSL_CERT_DIR`, or where systems have them. A system
/// without any still reaches servers without TLS.
pub(crate) fn tls() -> Result<ClientConfig, HttpError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = config.map_err(|error| HttpError::Tls { source: error.into() })?;
    Ok(config.with_root_certificates(registry::system_roots().clone()).with_no_client_auth())
}

/// Why a request got no answer.
fn explain(url: &str, error: reqwest::Error) -> HttpError {
    let url = url.to_owned();
    // The URL of the error may be one with a password.
    let error = error.without_url();
    if let Some(source) = untrusted(&error) {
        HttpError::Certificate { url, source }
    } else if error.is_builder() {
        HttpError::Url { url, source: error }
    } else if error.is_redirect() {
        HttpError::Redirects { url, redirects_max: REDIRECTS_MAX }
    } else if error.is_timeout() && !error.is_connect() {
        HttpError::Silent { url, silence: SILENCE_MAX }
    } else {
        HttpError::Unreachable { url, source: error }
    }
}

/// What is wrong with the certificate of the server, if that is the root of the error.
fn untrusted(error: &reqwest::Error) -> Option<rustls::Error> {
    let mut cause: Option<&(dyn Error + 'static)> = error.source();
    while let Some(error) = cause {
        // What an `io::Error` wraps is not among its sources.
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref()).or_else(|| error.downcast_ref());
        if let Some(wrong @ rustls::Error::InvalidCertificate(_)) = inner {
            return Some(wrong.clone());
        }
        cause = error.source();
    }
    None
}
