//! Sends a blob: looks whether it is there, takes it over from another repository, else uploads it in one piece, and
//! goes on in chunks where that broke off or is not allowed.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream::try_unfold;
use image::Descriptor;
use reqwest::header::{CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use reqwest::{Method, Url};

use super::range::uploaded_bytes;
use super::{AnySource, Source};
use crate::auth::Scope;
use crate::host::Host;
use crate::limits::{
    CHUNK_BYTES, CHUNK_BYTES_MAX, CHUNK_BYTES_MIN, DOCUMENT_BYTES_MAX, IDLE_WAIT, READ_BYTES, UPLOADS_MAX,
};
use crate::request::{Answer, Body, Request};
use crate::retry::Attempts;
use crate::{RegistryError, Repository};

/// The type of every blob on its way.
const OCTETS: &str = "application/octet-stream";

/// How often it is told how far an upload is.
const TELL_INTERVAL: Duration = Duration::from_millis(100);

/// How a blob came to be in the repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Pushed {
    /// It was there already.
    There,
    /// The registry took it over from another of its repositories.
    Mounted {
        /// Which.
        from: String,
    },
    /// It was sent.
    Sent,
}

/// Repositories of the same registry that have a blob, the most likely first.
pub type Mounting<'a> = &'a [String];

/// How the attempt to send a part ended.
enum Sending {
    /// The blob is complete.
    Done,
    /// The registry has so many bytes, and takes more at this address.
    Open { url: Url, at: u64 },
    /// The registry knows nothing of this upload any more.
    Gone,
}

/// One blob on its way.
struct Upload<'a> {
    host: &'a Host,
    scope: Scope,
    blob: &'a Descriptor,
    source: Arc<dyn AnySource>,
    on_bytes: &'a (dyn Fn(u64) + Sync),
    repository: &'a str,
}

impl Repository {
    /// Whether the repository has a blob. A registry that does not say is taken for one that has not.
    pub async fn has_blob(&self, blob: &Descriptor) -> Result<bool, RegistryError> {
        let host = self.registry();
        let url = host.url(&format!("{}/blobs/{}", self.path(), blob.digest)).await?;
        let request = Request::new(Method::HEAD, url, &Scope::push(self.path()));
        let answer = host.send(&request).await?;
        // What has another size is another blob, whatever its name.
        let size_bytes = answer.header(CONTENT_LENGTH.as_str()).and_then(|text| text.parse::<u64>().ok());
        match answer.status() {
            200 => Ok(size_bytes.is_none_or(|size_bytes| size_bytes == blob.size_bytes)),
            401 | 403 => Err(answer.refusal(&request).await),
            // 405 and 501 are of registries that know no HEAD.
            _ => Ok(false),
        }
    }

    /// Sends a blob, also when the repository says that it has it. Registries may keep what they have, though.
    ///
    /// # Errors
    ///
    /// As [`Self::push_blob`].
    pub async fn replace_blob<S: Source>(
        &self,
        blob: &Descriptor,
        source: &Arc<S>,
        on_bytes: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        self.upload(blob, source.clone(), on_bytes).run(None).await
    }

    /// Makes sure that the repository has a blob. `on_bytes` hears how many bytes the registry has of it.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Status`] with what the registry says when it does not want the blob; faults of the network
    /// after all attempts.
    pub async fn push_blob<S: Source>(
        &self,
        blob: &Descriptor,
        source: &Arc<S>,
        mounting: Mounting<'_>,
        on_bytes: &(dyn Fn(u64) + Sync),
    ) -> Result<Pushed, RegistryError> {
        self.push(self.upload(blob, source.clone(), on_bytes), mounting).await
    }

    fn upload<'a>(
        &'a self,
        blob: &'a Descriptor,
        source: Arc<dyn AnySource>,
        on_bytes: &'a (dyn Fn(u64) + Sync),
    ) -> Upload<'a> {
        let (host, scope) = (self.registry().as_ref(), Scope::push(self.path()));
        Upload { host, scope, blob, source, on_bytes, repository: self.path() }
    }

    async fn push(&self, mut upload: Upload<'_>, mounting: Mounting<'_>) -> Result<Pushed, RegistryError> {
        if self.has_blob(upload.blob).await? {
            return Ok(Pushed::There);
        }
        let mut begun = None;
        for from in mounting.iter().filter(|from| *from != self.path()) {
            match upload.mount(from).await? {
                Mount::Done => return Ok(Pushed::Mounted { from: from.clone() }),
                Mount::Begun(begin) => {
                    begun = Some(begin);
                    break;
                }
                Mount::Refused => {}
            }
        }
        upload.scope = Scope::push(self.path());
        upload.run(begun).await.map(|()| Pushed::Sent)
    }
}

/// What a registry makes of the wish to take a blob over.
enum Mount {
    Done,
    /// It does not, and has begun an upload instead.
    Begun(Begin),
    Refused,
}

/// An upload that has begun.
struct Begin {
    url: Url,
    chunk_bytes_min: u64,
}

impl Upload<'_> {
    async fn mount(&mut self, from: &str) -> Result<Mount, RegistryError> {
        let mut url = self.host.url(&format!("{}/blobs/uploads/", self.repository)).await?;
        url.query_pairs_mut().append_pair("mount", &self.blob.digest.to_string()).append_pair("from", from);
        // The token must allow to read where the blob is.
        self.scope = Scope::push(self.repository).and_pull(from);
        let request = Request::new(Method::POST, url, &self.scope).header(CONTENT_LENGTH, "0");
        let answer = match self.host.send(&request).await {
            Ok(answer) => answer,
            // No right to read there: nothing is lost but a chance.
            Err(RegistryError::Denied { .. } | RegistryError::Unauthorized { .. }) => {
                return Ok(Mount::Refused);
            }
            Err(error) => return Err(error),
        };
        match answer.status() {
            201 => Ok(Mount::Done),
            202 => Ok(self.begin_of(&answer).await.map_or(Mount::Refused, Mount::Begun)),
            _ => Ok(Mount::Refused),
        }
    }

    async fn begin(&self) -> Result<Begin, RegistryError> {
        let url = self.host.url(&format!("{}/blobs/uploads/", self.repository)).await?;
        let request = Request::new(Method::POST, url, &self.scope).header(CONTENT_LENGTH, "0");
        let answer = self.host.send(&request).await?;
        if answer.status() != 202 {
            return Err(answer.refusal(&request).await);
        }
        self.begin_of(&answer).await
    }

    async fn begin_of(&self, answer: &Answer) -> Result<Begin, RegistryError> {
        let min = answer.header("oci-chunk-min-length").and_then(|length| length.trim().parse().ok());
        Ok(Begin {
            url: self.location(answer).await?,
            chunk_bytes_min: min.unwrap_or(0).min(CHUNK_BYTES_MAX),
        })
    }

    /// Where the upload goes on. A registry behind a proxy that speaks TLS for it names its own unencrypted address:
    /// what is on the same host stays encrypted.
    async fn location(&self, answer: &Answer) -> Result<Url, RegistryError> {
        let location = answer.header("location");
        let location =
            location.ok_or_else(|| self.host.protocol("it begins an upload and does not say where"))?;
        let base = self.host.base().await?;
        if let Ok(mut url) = base.join(location)
            && base.scheme() == "https"
            && url.scheme() == "http"
            && url.host_str() == base.host_str()
        {
            // Neither can fail for an address of the web.
            let _ = url.set_scheme("https");
            let _ = url.set_port(base.port());
            return Ok(url);
        }
        self.host.target(answer.response.url(), location)
    }

    async fn run(&self, mut begun: Option<Begin>) -> Result<(), RegistryError> {
        let mut is_whole_allowed = true;
        for _ in 0..UPLOADS_MAX {
            let begin = match begun.take() {
                Some(begin) => begin,
                None => self.begin().await?,
            };
            let (mut url, mut at) = (begin.url.clone(), 0);
            if is_whole_allowed {
                match self.send_whole(&url).await? {
                    Sending::Done => return Ok(()),
                    Sending::Open { url: now, at: there } => (url, at) = (now, there),
                    Sending::Gone => {
                        is_whole_allowed = false;
                        continue;
                    }
                }
            }
            match self.send_chunks(url, at, begin.chunk_bytes_min).await? {
                Sending::Done => return Ok(()),
                _ => is_whole_allowed = false,
            }
        }
        Err(self
            .host
            .protocol(format!("it forgot the upload of blob {} {UPLOADS_MAX} times", self.blob.digest)))
    }

    /// Everything in one request.
    async fn send_whole(&self, url: &Url) -> Result<Sending, RegistryError> {
        let progress = Arc::new(AtomicU64::new(0));
        let body = whole_body(self.source.clone(), self.blob.size_bytes, progress.clone());
        let request = Request::new(Method::PUT, self.complete_url(url), &self.scope)
            .header(CONTENT_TYPE, OCTETS)
            .header(CONTENT_LENGTH, &self.blob.size_bytes.to_string())
            .body(body);
        let sent = self.watched(&request, &progress).await;
        match sent {
            Ok(answer) if answer.response.status().is_success() => Ok(Sending::Done),
            Ok(answer) => {
                let status = answer.status();
                let error = answer.refusal(&request).await;
                tracing::debug!(%error, "a blob is not taken in one piece");
                match status {
                    // Too large for one piece, or a registry that wants chunks.
                    400 | 405 | 411 | 413 | 416 | 501 => self.status(url).await,
                    404 => Ok(Sending::Gone),
                    _ if error.is_network() => self.status(url).await,
                    _ => Err(error),
                }
            }
            Err(error) if error.is_network() => {
                tracing::debug!(%error, "an upload goes on where it broke off");
                self.status(url).await
            }
            Err(error) => Err(error),
        }
    }

    /// Sends, tells how far it is, and gives up when nothing moves any more.
    async fn watched(&self, request: &Request, progress: &AtomicU64) -> Result<Answer, RegistryError> {
        let send = self.host.send_once(request);
        tokio::pin!(send);
        let (mut seen, mut moved) = (0, Instant::now());
        loop {
            if let Ok(answer) = tokio::time::timeout(TELL_INTERVAL, &mut send).await {
                return answer;
            }
            let now = progress.load(Ordering::Relaxed);
            if now != seen {
                (seen, moved) = (now, Instant::now());
                (self.on_bytes)(now);
            } else if moved.elapsed() > IDLE_WAIT {
                let host = self.host.endpoint.authority.clone();
                return Err(RegistryError::Silent { host, seconds: IDLE_WAIT.as_secs() });
            }
        }
    }

    /// Asks how far an upload is.
    async fn status(&self, url: &Url) -> Result<Sending, RegistryError> {
        let request = Request::new(Method::GET, url.clone(), &self.scope);
        let answer = self.host.send(&request).await?;
        let location = self.location(&answer).await.unwrap_or_else(|_| url.clone());
        let at = answer.header("range").and_then(uploaded_bytes);
        match (answer.status(), at) {
            (200..=299, Some(at)) if at <= self.blob.size_bytes => Ok(Sending::Open { url: location, at }),
            _ => Ok(Sending::Gone),
        }
    }

    /// What is missing, chunk by chunk.
    async fn send_chunks(&self, mut url: Url, mut at: u64, min: u64) -> Result<Sending, RegistryError> {
        let mut chunk_bytes = CHUNK_BYTES.max(min);
        let mut attempts = Attempts::new(self.host.retry);
        while at < self.blob.size_bytes {
            let length = chunk_bytes.min(self.blob.size_bytes - at);
            match self.send_chunk(&url, at, length).await {
                Ok(Sending::Open { url: now, at: there }) => {
                    if there > at {
                        attempts.progressed();
                    }
                    (url, at) = (now, there);
                    (self.on_bytes)(at);
                }
                Ok(other) => return Ok(other),
                Err(error) if error.status() == Some(413) && chunk_bytes / 2 >= CHUNK_BYTES_MIN.max(min) => {
                    chunk_bytes /= 2;
                }
                Err(error) => {
                    attempts.again(error, None).await?;
                    match self.status(&url).await? {
                        Sending::Open { url: now, at: there } => (url, at) = (now, there),
                        other => return Ok(other),
                    }
                }
            }
        }
        self.complete(&url).await
    }

    async fn send_chunk(&self, url: &Url, at: u64, length: u64) -> Result<Sending, RegistryError> {
        let bytes = self.read(at, length).await?;
        let end = at + length;
        let request = Request::new(Method::PATCH, url.clone(), &self.scope)
            .header(CONTENT_TYPE, OCTETS)
            .header(CONTENT_RANGE, &format!("{at}-{}", end - 1))
            .body(Body::Bytes(bytes));
        let answer = self.host.send_once(&request).await?;
        match answer.status() {
            200..=299 => {
                let url = self.location(&answer).await?;
                let there = answer.header("range").and_then(uploaded_bytes).unwrap_or(end);
                Ok(Sending::Open { url, at: there.min(end) })
            }
            404 => Ok(Sending::Gone),
            // It has other bytes than we think.
            416 => self.status(url).await,
            _ => Err(answer.refusal(&request).await),
        }
    }

    async fn complete(&self, url: &Url) -> Result<Sending, RegistryError> {
        let request =
            Request::new(Method::PUT, self.complete_url(url), &self.scope).header(CONTENT_LENGTH, "0");
        let mut answer = self.host.send(&request).await?;
        match answer.status() {
            200..=299 => {
                answer.document(DOCUMENT_BYTES_MAX).await?;
                (self.on_bytes)(self.blob.size_bytes);
                Ok(Sending::Done)
            }
            404 => Ok(Sending::Gone),
            _ => Err(answer.refusal(&request).await),
        }
    }

    /// The address that ends an upload; what is in its query already stays.
    fn complete_url(&self, url: &Url) -> Url {
        let mut url = url.clone();
        url.query_pairs_mut().append_pair("digest", &self.blob.digest.to_string());
        url
    }

    async fn read(&self, at: u64, length: u64) -> Result<Bytes, RegistryError> {
        let digest = self.blob.digest;
        let length = usize::try_from(length).expect("a chunk fits into memory");
        let mut chunk = bytes::BytesMut::with_capacity(length);
        while chunk.len() < length {
            let read = self.source.read(at + chunk.len() as u64, length - chunk.len()).await;
            let bytes = read.map_err(|source| RegistryError::Source { digest, source })?;
            if bytes.is_empty() {
                let source = std::io::ErrorKind::UnexpectedEof.into();
                return Err(RegistryError::Source { digest, source });
            }
            chunk.extend_from_slice(&bytes);
        }
        Ok(chunk.freeze())
    }
}

fn whole_body(source: Arc<dyn AnySource>, size_bytes: u64, progress: Arc<AtomicU64>) -> Body {
    Body::Stream(Arc::new(move || {
        progress.store(0, Ordering::Relaxed);
        let state = (source.clone(), progress.clone(), 0_u64);
        reqwest::Body::wrap_stream(try_unfold(state, move |(source, progress, at)| async move {
            if at >= size_bytes {
                return Ok(None);
            }
            let length = usize::try_from(size_bytes - at).unwrap_or(usize::MAX).min(READ_BYTES);
            let bytes = source.read(at, length).await?;
            if bytes.is_empty() {
                return Err(std::io::Error::from(std::io::ErrorKind::UnexpectedEof));
            }
            let at = at + bytes.len() as u64;
            progress.store(at, Ordering::Relaxed);
            Ok(Some((bytes, (source, progress, at))))
        }))
    }))
}
