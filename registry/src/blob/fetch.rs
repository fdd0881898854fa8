//! Fetches a blob: large ones in several ranges at a time, each going on where it broke off.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::{Bytes, BytesMut};
use futures_util::future::try_join_all;
use image::Descriptor;
use reqwest::header::{ACCEPT, ACCEPT_ENCODING, RANGE};
use reqwest::{Method, Url};

use super::Sink;
use super::range::content_range;
use crate::auth::Scope;
use crate::host::Host;
use crate::limits::{RANGE_BYTES, RANGES_MAX, WRITE_BYTES};
use crate::request::{Answer, Request};
use crate::retry::Attempts;
use crate::{RegistryError, Repository};

/// How a blob is fetched.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Fetch {
    /// A large one in several ranges at a time.
    #[default]
    Ranges,
    /// In one go, for a registry that sent wrong ranges.
    Whole,
}

/// What one transfer works with.
struct Transfer<'a, S> {
    host: &'a Host,
    url: &'a Url,
    scope: &'a Scope,
    blob: &'a Descriptor,
    sink: &'a S,
    on_bytes: &'a (dyn Fn(u64) + Sync),
}

/// What a registry makes of the wish for a range.
enum Opened {
    /// Just the range.
    Part(Answer),
    /// Everything from the first byte on: it knows no ranges.
    Whole(Answer),
}

impl Repository {
    /// Brings the bytes of a blob into a sink: exactly as many as its descriptor says, not verified.
    ///
    /// `on_bytes` hears how many more have come. A layer that only other servers have is fetched from there, without
    /// credentials and only where that is encrypted.
    ///
    /// # Errors
    ///
    /// [`RegistryError::NoBlob`] when nobody has it; faults of the network after all attempts.
    pub async fn fetch_blob<S: Sink>(
        &self,
        blob: &Descriptor,
        how: Fetch,
        sink: &S,
        on_bytes: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let scope = &self.pull_scope();
        let from_host = |host: Arc<Host>| async move {
            let url = host.url(&format!("{}/blobs/{}", self.path(), blob.digest)).await?;
            Transfer { host: &host, url: &url, scope, blob, sink, on_bytes }.run(how).await
        };
        let missing = match self.read(from_host).await {
            Err(error) if error.is_absent() && !blob.urls.is_empty() => error,
            done => return done,
        };
        for url in &blob.urls {
            let url: Url = match url.parse() {
                Ok(url) => url,
                Err(_) => continue,
            };
            if url.scheme() != "https" {
                return Err(RegistryError::ForeignLayer { digest: blob.digest, url: url.to_string() });
            }
            let host = self.registry();
            return Transfer { host, url: &url, scope, blob, sink, on_bytes }.run(how).await;
        }
        Err(missing)
    }
}

impl<S: Sink> Transfer<'_, S> {
    async fn run(&self, how: Fetch) -> Result<(), RegistryError> {
        let size = self.blob.size_bytes;
        if size == 0 {
            return Ok(());
        }
        let first = 0..match how {
            Fetch::Ranges => size.min(RANGE_BYTES),
            Fetch::Whole => size,
        };
        let opened = self.open(&first).await?;
        match opened {
            Opened::Whole(answer) => self.receive(0..size, Some(Opened::Whole(answer))).await,
            part if first.end == size => self.receive(first, Some(part)).await,
            part => {
                let next = AtomicU64::new(first.end);
                let workers = (1..RANGES_MAX).map(|_| self.ranges(&next, None));
                let started = self.ranges(&next, Some((first, part)));
                try_join_all(std::iter::once(started).chain(workers)).await.map(|_| ())
            }
        }
    }

    /// Receives one range after the other, as long as there are any.
    async fn ranges(
        &self,
        next: &AtomicU64,
        started: Option<(Range<u64>, Opened)>,
    ) -> Result<(), RegistryError> {
        if let Some((range, opened)) = started {
            self.receive(range, Some(opened)).await?;
        }
        loop {
            let start = next.fetch_add(RANGE_BYTES, Ordering::Relaxed);
            if start >= self.blob.size_bytes {
                return Ok(());
            }
            self.receive(start..self.blob.size_bytes.min(start + RANGE_BYTES), None).await?;
        }
    }

    /// Receives a range, going on after breaks from where it came to.
    async fn receive(&self, range: Range<u64>, mut opened: Option<Opened>) -> Result<(), RegistryError> {
        let mut attempts = Attempts::new(self.host.retry);
        let mut at = range.start;
        while at < range.end {
            let before = at;
            let rest = at..range.end;
            // Opening has attempts of its own.
            let source = match opened.take() {
                Some(opened) => opened,
                None => self.open(&rest).await?,
            };
            let received = self.copy(source, &rest, &mut at).await;
            if at > before {
                attempts.progressed();
            }
            if let Err(error) = received {
                attempts.again(error, None).await?;
            }
        }
        Ok(())
    }

    async fn open(&self, range: &Range<u64>) -> Result<Opened, RegistryError> {
        let mut request = Request::new(Method::GET, self.url.clone(), self.scope)
            .header(ACCEPT, "*/*")
            // Compressed once more on the way it would not be the blob any more.
            .header(ACCEPT_ENCODING, "identity");
        if *range != (0..self.blob.size_bytes) {
            request = request.header(RANGE, &format!("bytes={}-{}", range.start, range.end - 1));
        }
        let answer = self.host.send(&request).await?;
        match answer.status() {
            200 => match answer.response.content_length() {
                Some(length) if length != self.blob.size_bytes => Err(RegistryError::WrongBlobSize {
                    digest: self.blob.digest,
                    expected: self.blob.size_bytes,
                    actual: length,
                }),
                _ => Ok(Opened::Whole(answer)),
            },
            206 => match answer.header("content-range").and_then(content_range) {
                Some((first, _, size))
                    if first == range.start && size.is_none_or(|size| size == self.blob.size_bytes) =>
                {
                    Ok(Opened::Part(answer))
                }
                _ => {
                    let found = answer.header("content-range").unwrap_or("nothing").to_owned();
                    let wanted = format!("{}-{}/{}", range.start, range.end - 1, self.blob.size_bytes);
                    Err(self
                        .host
                        .protocol(format!("it sends `{found}` where `bytes {wanted}` was asked for")))
                }
            },
            404 => {
                let host = self.host.endpoint.authority.clone();
                Err(RegistryError::NoBlob { host, digest: self.blob.digest })
            }
            _ => Err(answer.refusal(&request).await),
        }
    }

    /// Copies what arrives of a range into the sink. `at` says how far it came, also when it breaks.
    async fn copy(&self, opened: Opened, range: &Range<u64>, at: &mut u64) -> Result<(), RegistryError> {
        let (mut answer, mut skip) = match opened {
            Opened::Part(answer) => (answer, 0),
            Opened::Whole(answer) => (answer, range.start),
        };
        let mut pending = BytesMut::new();
        let ended = loop {
            if *at + pending.len() as u64 >= range.end {
                break Ok(());
            }
            let mut chunk = match answer.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break Err(self.broken(&answer.host, *at + pending.len() as u64)),
                Err(error) => break Err(error),
            };
            let skipped = skip.min(chunk.len() as u64);
            skip -= skipped;
            // The whole is shorter than a `u64` and so is each of its parts.
            let _ = chunk.split_to(usize::try_from(skipped).expect("it is at most the length of a chunk"));
            let rest = range.end - *at - pending.len() as u64;
            chunk.truncate(usize::try_from(rest).unwrap_or(usize::MAX));
            pending.extend_from_slice(&chunk);
            if pending.len() >= WRITE_BYTES {
                self.write(pending.split().freeze(), at).await?;
            }
        };
        self.write(pending.freeze(), at).await?;
        ended
    }

    async fn write(&self, bytes: Bytes, at: &mut u64) -> Result<(), RegistryError> {
        if bytes.is_empty() {
            return Ok(());
        }
        let count = bytes.len() as u64;
        let digest = self.blob.digest;
        self.sink.write_at(*at, bytes).await.map_err(|source| RegistryError::Sink { digest, source })?;
        *at += count;
        (self.on_bytes)(count);
        Ok(())
    }

    fn broken(&self, host: &str, at: u64) -> RegistryError {
        let (digest, size_bytes) = (self.blob.digest, self.blob.size_bytes);
        RegistryError::Broken { host: host.to_owned(), digest, at, size_bytes }
    }
}
