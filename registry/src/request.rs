//! One request to a registry, and the answer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Response, Url};
use tokio::sync::OwnedSemaphorePermit;

use crate::RegistryError;
use crate::auth::Scope;
use crate::error::ErrorDetail;
use crate::limits::{DOCUMENT_BYTES_MAX, IDLE_WAIT};

/// What is asked.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) scope: Scope,
}

/// What is sent along.
#[derive(Clone)]
pub(crate) enum Body {
    Empty,
    Bytes(Bytes),
    /// Made anew for each attempt.
    Stream(Arc<dyn Fn() -> reqwest::Body + Send + Sync>),
}

impl Request {
    pub(crate) fn new(method: Method, url: Url, scope: &Scope) -> Self {
        Self { method, url, headers: HeaderMap::new(), body: Body::Empty, scope: scope.clone() }
    }

    pub(crate) fn header(mut self, name: HeaderName, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.append(name, value);
        }
        self
    }

    pub(crate) fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }

    /// As errors name it.
    pub(crate) fn name(&self) -> String {
        format!("{} {}", self.method, self.url.path())
    }
}

/// What came back. Holds one of the host's connections until it is dropped.
pub(crate) struct Answer {
    pub(crate) response: Response,
    pub(crate) host: String,
    pub(crate) permit: OwnedSemaphorePermit,
}

impl Answer {
    pub(crate) fn status(&self) -> u16 {
        self.response.status().as_u16()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The next bytes of the body; none at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, RegistryError> {
        match tokio::time::timeout(IDLE_WAIT, self.response.chunk()).await {
            Ok(Ok(chunk)) => Ok(chunk),
            Ok(Err(source)) => {
                Err(RegistryError::Unreachable { host: self.host.clone(), source: source.without_url() })
            }
            Err(_) => Err(RegistryError::Silent { host: self.host.clone(), seconds: IDLE_WAIT.as_secs() }),
        }
    }

    /// The whole body, which is short.
    pub(crate) async fn document(&mut self, bytes_max: usize) -> Result<Vec<u8>, RegistryError> {
        let mut body = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if body.len() + chunk.len() > bytes_max {
                let host = self.host.clone();
                return Err(RegistryError::TooMuch { host, what: "bytes in a document", max: bytes_max });
            }
            body.extend_from_slice(&chunk);
        }
        Ok(body)
    }

    /// An answer that says no, as an error.
    pub(crate) async fn refusal(mut self, request: &Request) -> RegistryError {
        let status = self.status();
        let body = self.document(DOCUMENT_BYTES_MAX).await.unwrap_or_default();
        let detail = ErrorDetail::parse(&body);
        if matches!(status, 401 | 403) {
            let repository = request.scope.repository.clone();
            return RegistryError::Denied { host: self.host, repository, detail };
        }
        RegistryError::Status { host: self.host, request: request.name(), status, detail }
    }

    /// How long the registry asks us to wait: seconds, which is what registries send.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        self.header("retry-after")?.trim().parse().ok().map(Duration::from_secs)
    }
}
