//! The cache service of GitHub Actions, version 2: three calls of Twirp, which answer with signed URLs.

use std::time::Duration;

use reqwest::header::{CONTENT_LENGTH, RETRY_AFTER};
use reqwest::{Client, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::ActionsPlace;
use crate::HttpError;
use crate::net;
use crate::remote_cache::RemoteCacheError;

/// Where the calls are, below the URL of the service.
const CALLS: &str = "twirp/github.actions.results.api.v1.CacheService";
/// What BuildKit's client says instead of the paths of a cache: SHA-256 of `|go-actionscache-1.0`.
const VERSION: &str = "693bb7016429d80366022f036f84856888c9f13e00145f5f6f4dce303a38d6f2";
/// Answers are some lines.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// How often a request is sent that a server is too busy for.
const ATTEMPTS_MAX: u32 = 5;
/// The first wait between two of them; each is twice the one before, unless the server says how long.
const WAIT_MIN: Duration = Duration::from_millis(500);
/// The longest wait that is taken from a server.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// The service, for one token.
pub(super) struct Service {
    client: Client,
    place: ActionsPlace,
}

/// An entry that is there.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    /// Where its bytes are.
    pub(super) url: String,
}

#[derive(Serialize)]
struct Look<'a> {
    key: &'a str,
    restore_keys: [&'a str; 1],
    version: &'a str,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Looked {
    ok: bool,
    signed_download_url: String,
    matched_key: String,
}

#[derive(Serialize)]
struct Create<'a> {
    key: &'a str,
    version: &'a str,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Created {
    ok: bool,
    signed_upload_url: String,
}

#[derive(Serialize)]
struct Finish<'a> {
    key: &'a str,
    size_bytes: u64,
    version: &'a str,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Finished {
    ok: bool,
}

impl Service {
    pub(super) fn new(place: &ActionsPlace) -> Result<Self, RemoteCacheError> {
        Ok(Self { client: net::client_of_environment()?, place: place.clone() })
    }

    /// The youngest entry whose key begins so.
    pub(super) async fn look(&self, key: &str) -> Result<Option<Entry>, RemoteCacheError> {
        let call = Look { key, restore_keys: [key], version: VERSION };
        let found: Option<Looked> = self.call("GetCacheEntryDownloadURL", &call).await?;
        let found = found.filter(|found| found.ok && !found.signed_download_url.is_empty());
        Ok(found.map(|found| Entry { key: found.matched_key, url: found.signed_download_url }))
    }

    /// Where the bytes of a new entry go; none when there is one, or somebody else is making it.
    pub(super) async fn create(&self, key: &str) -> Result<Option<String>, RemoteCacheError> {
        let created: Option<Created> =
            self.call("CreateCacheEntry", &Create { key, version: VERSION }).await?;
        let created = created.filter(|created| created.ok && !created.signed_upload_url.is_empty());
        Ok(created.map(|created| created.signed_upload_url))
    }

    /// Makes an entry visible whose bytes are there.
    pub(super) async fn finish(&self, key: &str, size_bytes: u64) -> Result<(), RemoteCacheError> {
        let call = Finish { key, size_bytes, version: VERSION };
        let finished: Option<Finished> = self.call("FinalizeCacheEntryUpload", &call).await?;
        match finished.is_some_and(|finished| finished.ok) {
            true => Ok(()),
            false => Err(RemoteCacheError::Refused { request: "a new entry" }),
        }
    }

    /// The bytes behind a signed URL.
    pub(super) async fn get(&self, url: &str) -> Result<Response, RemoteCacheError> {
        self.send("an entry", || self.client.get(url)).await
    }

    /// Sends bytes to a signed URL, with more of a query and headers.
    pub(super) async fn put(
        &self,
        url: &str,
        header: Option<(&'static str, &'static str)>,
        bytes: &bytes::Bytes,
    ) -> Result<(), RemoteCacheError> {
        let request = || {
            let request = self.client.put(url).header(CONTENT_LENGTH, bytes.len()).body(bytes.clone());
            header.into_iter().fold(request, |request, (name, value)| request.header(name, value))
        };
        self.send("the bytes of an entry", request).await.map(|_| ())
    }

    /// A call; none when there is no such entry, or one too many.
    async fn call<T: DeserializeOwned>(
        &self,
        name: &'static str,
        message: &impl Serialize,
    ) -> Result<Option<T>, RemoteCacheError> {
        let url = format!("{}/{CALLS}/{name}", self.place.url.trim_end_matches('/'));
        let body = serde_json::to_vec(message).expect("a message is JSON");
        let request = || {
            let request = self.client.post(&url).bearer_auth(&self.place.token.0);
            request.header(reqwest::header::CONTENT_TYPE, "application/json").body(body.clone())
        };
        match self.send(name, request).await {
            Ok(mut answer) => {
                let mut bytes = Vec::new();
                while let Some(piece) = answer.chunk().await.map_err(|error| broken(&url, error))? {
                    bytes.extend_from_slice(&piece);
                    if bytes.len() > ANSWER_BYTES_MAX {
                        let (size_bytes, size_bytes_max) = (bytes.len() as u64, ANSWER_BYTES_MAX as u64);
                        return Err(RemoteCacheError::TooLarge { size_bytes, size_bytes_max });
                    }
                }
                let parsed = serde_json::from_slice(&bytes);
                parsed.map(Some).map_err(|source| RemoteCacheError::NoAnswer { request: name, source })
            }
            // `not_found` and `already_exists` of Twirp.
            Err(RemoteCacheError::Answer { status: 404 | 409, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Sends a request until the server is not too busy for it.
    async fn send(
        &self,
        what: &'static str,
        request: impl Fn() -> RequestBuilder,
    ) -> Result<Response, RemoteCacheError> {
        let mut attempt = 0;
        loop {
            attempt += 1;
            let answer = request().send().await;
            let wait = match answer {
                Ok(answer) if answer.status().is_success() => return Ok(answer),
                Ok(answer) if attempt == ATTEMPTS_MAX || !is_passing(answer.status()) => {
                    return Err(RemoteCacheError::Answer { status: answer.status().as_u16(), request: what });
                }
                Ok(answer) => asked_wait(&answer),
                Err(error) if attempt == ATTEMPTS_MAX => return Err(broken(&self.place.url, error)),
                Err(_) => None,
            };
            let own = WAIT_MIN * 2_u32.pow(attempt - 1);
            tokio::time::sleep(wait.unwrap_or(own).min(WAIT_MAX)).await;
        }
    }
}

fn is_passing(status: StatusCode) -> bool {
    status.is_server_error() || [StatusCode::TOO_MANY_REQUESTS, StatusCode::REQUEST_TIMEOUT].contains(&status)
}

/// How long the server wants us to wait, in seconds (RFC 9110, section 10.2.3).
fn asked_wait(answer: &Response) -> Option<Duration> {
    let text = answer.headers().get(RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}

/// Signed URLs are secrets: only that of the service is told.
pub(super) fn broken(url: &str, error: reqwest::Error) -> RemoteCacheError {
    HttpError::Broken { url: graph::redacted(url), source: error.without_url() }.into()
}
