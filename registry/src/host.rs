//! One host of a registry: its connections, its tokens, and the rules for where they go.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, LOCATION};
use reqwest::{Method, Url};
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use crate::RegistryError;
use crate::auth::{Authorization, Authorizer, Credential, Credentials, Scope, challenges};
use crate::auth::{TokenAnswer, TokenRequest, answer, is_loopback};
use crate::error::ErrorDetail;
use crate::limits::{
    CONNECT_WAIT, CONNECTIONS_MAX, DOCUMENT_BYTES_MAX, IDLE_WAIT, PROBE_WAIT, REDIRECTS_MAX,
};
use crate::request::{Answer, Body, Request};
use crate::retry::{Attempts, RetryPolicy};
use crate::settings::{Endpoint, RegistriesError, Settings, TlsVerify};
use crate::tls::{Certificates, Verification};

/// A host that serves a registry, or a mirror of one.
pub(crate) struct Host {
    pub(crate) endpoint: Endpoint,
    /// To the host itself.
    own: reqwest::Client,
    /// To hosts that it sends us to.
    others: reqwest::Client,
    /// Whether it may speak no TLS.
    is_insecure: bool,
    base: OnceCell<Url>,
    authorizer: Authorizer,
    credentials: Credentials,
    token_hosts: Vec<String>,
    pub(crate) retry: RetryPolicy,
    slots: Arc<Semaphore>,
}

impl Host {
    pub(crate) fn new(endpoint: Endpoint, settings: &Settings) -> Result<Self, RegistriesError> {
        let own = settings.registries.of(&endpoint.domain);
        let scheme = endpoint.scheme.clone().or_else(|| own.http.then(|| "http".to_owned()));
        let endpoint = Endpoint { scheme, ..endpoint };
        let mut certificates = Certificates::read(&settings.certificate_directories, &endpoint.authority)?;
        certificates.add_named(&own)?;
        let name = endpoint.authority.rsplit_once(':').map_or(endpoint.authority.as_str(), |(name, _)| name);
        // Who says which certificate is right wants it checked, on this machine as well.
        let is_local = is_loopback(name) && !certificates.has_roots();
        let is_insecure = settings.tls_verify == TlsVerify::Skipped || own.insecure || is_local;
        let verification = if is_insecure { Verification::None } else { Verification::Certificate };
        let elsewhere = match settings.tls_verify {
            TlsVerify::Skipped => Verification::None,
            TlsVerify::Required => Verification::Certificate,
        };
        let tls = |source| RegistriesError::Tls { host: endpoint.authority.clone(), source };
        let http = |source| RegistriesError::Http { host: endpoint.authority.clone(), source };
        let own_tls = certificates.own(verification).map_err(tls)?;
        let others_tls = certificates.others(elsewhere).map_err(tls)?;
        let mut builder = client_builder(own_tls);
        if is_loopback(name) {
            builder = builder.no_proxy();
        }
        Ok(Self {
            own: builder.build().map_err(http)?,
            others: client_builder(others_tls).build().map_err(http)?,
            is_insecure,
            base: OnceCell::new(),
            authorizer: Authorizer::default(),
            credentials: settings.credentials.clone(),
            token_hosts: own.token_hosts,
            retry: settings.retry,
            slots: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            endpoint,
        })
    }

    /// The address of something in the registry's API; `path` begins after `/v2/`.
    pub(crate) async fn url(&self, path: &str) -> Result<Url, RegistryError> {
        let base = self.base().await?;
        let text = format!("{}v2/{path}", base.as_str());
        text.parse().map_err(|_| self.protocol(format!("`{text}` is no address")))
    }

    pub(crate) fn protocol(&self, what: impl Into<String>) -> RegistryError {
        RegistryError::Protocol { host: self.endpoint.authority.clone(), what: what.into() }
    }

    /// Scheme, host and port, with what stands before `/v2/`.
    pub(crate) async fn base(&self) -> Result<&Url, RegistryError> {
        self.base.get_or_try_init(|| self.find_base()).await
    }

    /// A registry that may be insecure is asked which scheme it speaks, TLS first.
    async fn find_base(&self) -> Result<Url, RegistryError> {
        let Endpoint { authority, scheme, prefix, .. } = &self.endpoint;
        let base = |scheme: &str| -> Result<Url, RegistryError> {
            let text = format!("{scheme}://{authority}{prefix}/");
            text.parse().map_err(|_| self.protocol(format!("`{text}` is no address")))
        };
        if let Some(scheme) = scheme {
            return base(scheme);
        }
        let https = base("https")?;
        if !self.is_insecure {
            return Ok(https);
        }
        let probe = self.own.get(format!("{https}v2/"));
        match tokio::time::timeout(PROBE_WAIT, probe.send()).await {
            Ok(Ok(_)) => Ok(https),
            _ => base("http"),
        }
    }

    /// Sends a request until it is answered, again after faults that pass. What the answer means is the caller's.
    pub(crate) async fn send(&self, request: &Request) -> Result<Answer, RegistryError> {
        let mut attempts = Attempts::new(self.retry);
        loop {
            let (error, asked) = match self.send_once(request).await {
                Ok(answer) if is_passing(answer.status()) => {
                    let asked = answer.retry_after();
                    (answer.refusal(request).await, asked)
                }
                Ok(answer) => return Ok(answer),
                Err(error) => (error, None),
            };
            attempts.again(error, asked).await?;
        }
    }

    /// Sends a request once, apart from what authentication and redirects need.
    pub(crate) async fn send_once(&self, request: &Request) -> Result<Answer, RegistryError> {
        let slot = self.slots.clone().acquire_owned().await.expect("nobody closes the slots");
        let cached = self.authorizer.cached(&request.scope);
        let answer = self.follow(request, cached.as_ref(), slot).await?;
        if answer.status() != 401 || !self.is_own(answer.response.url()).await? {
            return Ok(answer);
        }
        if cached.is_some() {
            // Expired before its time, or the registry knows better than we do.
            self.authorizer.forget(&request.scope);
        }
        match self.authorize(&answer, &request.scope).await? {
            Some(authorization) => self.follow(request, Some(&authorization), answer.permit).await,
            None => Ok(answer),
        }
    }

    /// Sends a request with just this authorization, whatever let us in before.
    pub(crate) async fn send_with(
        &self,
        request: &Request,
        authorization: Option<&Authorization>,
    ) -> Result<Answer, RegistryError> {
        let mut attempts = Attempts::new(self.retry);
        loop {
            let slot = self.slots.clone().acquire_owned().await.expect("nobody closes the slots");
            let (error, asked) = match self.follow(request, authorization, slot).await {
                Ok(answer) if is_passing(answer.status()) => {
                    let asked = answer.retry_after();
                    (answer.refusal(request).await, asked)
                }
                Ok(answer) => return Ok(answer),
                Err(error) => (error, None),
            };
            attempts.again(error, asked).await?;
        }
    }

    /// Answers the challenge of a registry.
    pub(crate) async fn authorize(
        &self,
        refused: &Answer,
        scope: &Scope,
    ) -> Result<Option<Authorization>, RegistryError> {
        let credential = self.credentials.look_up(&self.endpoint.domain, &scope.repository).await?;
        self.authorize_with(refused, scope, credential.as_ref()).await
    }

    pub(crate) async fn authorize_with(
        &self,
        refused: &Answer,
        scope: &Scope,
        credential: Option<&Credential>,
    ) -> Result<Option<Authorization>, RegistryError> {
        let headers = refused.response.headers().get_all("www-authenticate").iter();
        let offered: Vec<_> =
            headers.filter_map(|header| header.to_str().ok()).flat_map(challenges).collect();
        let base = self.base().await?;
        match answer(base, &offered, credential, scope, &self.token_hosts)? {
            None => Ok(None),
            Some(crate::auth::Answer::Now(authorization)) => {
                self.authorizer.keep_basic(&authorization);
                Ok(Some(authorization))
            }
            Some(crate::auth::Answer::Ask(request)) => {
                let token = self.fetch_token(&request).await?;
                Ok(Some(self.authorizer.keep_token(scope, &token)))
            }
        }
    }

    async fn fetch_token(&self, ask: &TokenRequest) -> Result<TokenAnswer, RegistryError> {
        let mut attempts = Attempts::new(self.retry);
        let host = ask.url.host_str().unwrap_or_default().to_owned();
        loop {
            let (error, asked) = match self.ask_token(ask, &host).await {
                Ok((200, _, body)) => {
                    return TokenAnswer::parse(&body).ok_or_else(|| RegistryError::Protocol {
                        host,
                        what: "it answers without a token".to_owned(),
                    });
                }
                Ok((401, _, body)) if ask.authorization.is_some() || ask.form.is_some() => {
                    return Err(RegistryError::Unauthorized { host, detail: ErrorDetail::parse(&body) });
                }
                Ok((status, asked, body)) => {
                    let request = format!("GET {}", ask.url.path());
                    let detail = ErrorDetail::parse(&body);
                    (RegistryError::Status { host: host.clone(), request, status, detail }, asked)
                }
                Err(error) => (error, None),
            };
            attempts.again(error, asked).await?;
        }
    }

    async fn ask_token(
        &self,
        ask: &TokenRequest,
        host: &str,
    ) -> Result<(u16, Option<Duration>, Vec<u8>), RegistryError> {
        let client = if self.is_own(&ask.url).await? { &self.own } else { &self.others };
        let mut builder = match &ask.form {
            None => client.get(ask.url.clone()),
            Some(form) => {
                let mut encoder = Url::parse("form:").expect("it is a URL");
                encoder.query_pairs_mut().extend_pairs(form);
                let body = encoder.query().unwrap_or_default().to_owned();
                let kind = "application/x-www-form-urlencoded";
                client.post(ask.url.clone()).header("content-type", kind).body(body)
            }
        };
        if let Some(header) = ask.authorization.as_ref().and_then(Authorization::header) {
            builder = builder.header(AUTHORIZATION, header);
        }
        let response = idle(host, builder.send()).await?;
        // Not one of the host's slots: whoever asks for a token holds one already.
        let permit = Arc::new(Semaphore::new(1)).acquire_owned().await.expect("it is open");
        let mut answer = Answer { response, host: host.to_owned(), permit };
        let body = answer.document(DOCUMENT_BYTES_MAX).await?;
        Ok((answer.status(), answer.retry_after(), body))
    }

    /// Sends, and follows redirects of what only reads. The token goes to the host itself and nowhere else.
    async fn follow(
        &self,
        request: &Request,
        authorization: Option<&Authorization>,
        permit: OwnedSemaphorePermit,
    ) -> Result<Answer, RegistryError> {
        let mut url = request.url.clone();
        for _ in 0..=REDIRECTS_MAX {
            let is_own = self.is_own(&url).await?;
            let client = if is_own { &self.own } else { &self.others };
            let mut builder =
                client.request(request.method.clone(), url.clone()).headers(request.headers.clone());
            if let Some(header) = authorization.and_then(Authorization::header).filter(|_| is_own) {
                builder = builder.header(AUTHORIZATION, header);
            }
            let host = authority(&url);
            let response = match &request.body {
                Body::Empty => idle(&host, builder.send()).await?,
                Body::Bytes(bytes) => idle(&host, builder.body(bytes.clone()).send()).await?,
                // Its own clock runs in the stream.
                Body::Stream(make) => unreachable(&host, builder.body(make()).send().await)?,
            };
            let may_follow = matches!(request.method, Method::GET | Method::HEAD);
            let location = response.headers().get(LOCATION).and_then(|location| location.to_str().ok());
            match location {
                Some(location) if may_follow && response.status().is_redirection() => {
                    url = self.target(&url, location)?;
                }
                _ => return Ok(Answer { response, host, permit }),
            }
        }
        Err(self.protocol(format!("more than {REDIRECTS_MAX} redirects")))
    }

    /// Where a registry sends us, from an address.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Downgrade`] when that would leave TLS.
    pub(crate) fn target(&self, from: &Url, location: &str) -> Result<Url, RegistryError> {
        let target = from.join(location).map_err(|_| self.protocol(format!("`{location}` is no address")))?;
        match (from.scheme(), target.scheme()) {
            (_, "https") | ("http", "http") => Ok(target),
            ("https", "http") => {
                Err(RegistryError::Downgrade { from: authority(from), to: target.to_string() })
            }
            _ => Err(self.protocol(format!("`{location}` is no address of the web"))),
        }
    }

    /// Whether an address is on the host itself: the same scheme, host and port.
    pub(crate) async fn is_own(&self, url: &Url) -> Result<bool, RegistryError> {
        Ok(self.base().await?.origin() == url.origin())
    }
}

fn client_builder(tls: rustls::ClientConfig) -> reqwest::ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .user_agent(concat!("slipway/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(CONNECT_WAIT)
        .pool_max_idle_per_host(CONNECTIONS_MAX)
}

/// Statuses that may be others the next time.
fn is_passing(status: u16) -> bool {
    matches!(status, 408 | 425 | 429 | 500 | 502 | 503 | 504)
}

/// Host and port of an address.
pub(crate) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

fn unreachable<T>(host: &str, result: Result<T, reqwest::Error>) -> Result<T, RegistryError> {
    result
        .map_err(|source| RegistryError::Unreachable { host: host.to_owned(), source: source.without_url() })
}

/// Waits for an answer, but not for ever.
async fn idle<T>(
    host: &str,
    answer: impl Future<Output = Result<T, reqwest::Error>>,
) -> Result<T, RegistryError> {
    match tokio::time::timeout(IDLE_WAIT, answer).await {
        Ok(result) => unreachable(host, result),
        Err(_) => Err(RegistryError::Silent { host: host.to_owned(), seconds: IDLE_WAIT.as_secs() }),
    }
}
