//! A file on its way from a server.

use std::fs::File;
use std::io::{self, Write as _};
use std::time::Duration;

use image::{Digest, Sha256};
use jiff::fmt::rfc2822;
use reqwest::Response;
use reqwest::header::{CONTENT_DISPOSITION, DATE, HeaderName, LAST_MODIFIED};
use tokio::sync::mpsc;

use super::client::SILENCE_MAX;
use super::{HttpError, Validators, disposition};
use crate::blocking::blocking;

/// Larger files are refused: an image with such a layer cannot be moved any more.
const FILE_BYTES_MAX: u64 = 64 << 30;
/// Longest time for one file.
const FILE_TIME_MAX: Duration = Duration::from_secs(6 * 3600);
/// Pieces that wait to be written; the server waits for more.
const PIECES_MAX: usize = 16;
/// A file that changes twice in a second keeps its time of change, see RFC 9110, section 8.8.2.2.
const CLOCK_SECONDS: i64 = 2;

/// A file on its way.
pub(crate) struct Body {
    url: String,
    response: Response,
}

/// A file that has arrived.
pub(crate) struct Saved {
    pub(crate) file: File,
    pub(crate) sha256: Digest,
}

impl Body {
    pub(super) fn new(url: String, response: Response) -> Self {
        Self { url, response }
    }

    /// What to recognise the file by the next time.
    pub(crate) fn validators(&self) -> Validators {
        Validators::of(&self.response)
    }

    /// When the file was changed, if the server tells: seconds since 1970.
    pub(crate) fn modified_unix_s(&self) -> Option<i64> {
        time(&self.response, &LAST_MODIFIED)
    }

    /// What the server calls the file.
    pub(crate) fn name(&self) -> Option<String> {
        let header = self.response.headers().get(CONTENT_DISPOSITION)?;
        disposition::filename(&String::from_utf8_lossy(header.as_bytes()))
    }

    /// Writes all of it to `file`, and tells how much of it is there.
    pub(crate) async fn save(
        self,
        file: File,
        on_progress: &(dyn Fn(u64, Option<u64>) + Sync),
    ) -> Result<Saved, HttpError> {
        let url = self.url.clone();
        let saved = tokio::time::timeout(FILE_TIME_MAX, self.save_all(file, on_progress)).await;
        saved.unwrap_or(Err(HttpError::Slow { url, time_max: FILE_TIME_MAX }))
    }

    async fn save_all(
        mut self,
        file: File,
        on_progress: &(dyn Fn(u64, Option<u64>) + Sync),
    ) -> Result<Saved, HttpError> {
        let (pieces, queue) = mpsc::channel(PIECES_MAX);
        let total = self.response.content_length();
        let receive = async move {
            let mut count_bytes = 0;
            while let Some(piece) = self.response.chunk().await.map_err(|error| self.broken(error))? {
                count_bytes += piece.len() as u64;
                if count_bytes > FILE_BYTES_MAX {
                    return Err(HttpError::TooLarge { url: self.url, size_bytes_max: FILE_BYTES_MAX });
                }
                // Whoever takes no more pieces tells why itself.
                if pieces.send(piece).await.is_err() {
                    break;
                }
                on_progress(count_bytes, total);
            }
            Ok(())
        };
        let write = blocking(move || write(queue, file));
        let (received, written) = futures_util::future::join(receive, write).await;
        received?;
        written.map_err(|source| HttpError::Write { source })
    }

    fn broken(&self, error: reqwest::Error) -> HttpError {
        let (url, source) = (self.url.clone(), error.without_url());
        match source.is_timeout() {
            true => HttpError::Silent { url, silence: SILENCE_MAX },
            false => HttpError::Broken { url, source },
        }
    }
}

/// Writes what comes, until nothing comes any more.
fn write(mut queue: mpsc::Receiver<impl AsRef<[u8]>>, mut file: File) -> io::Result<Saved> {
    let mut hash = Sha256::new();
    while let Some(piece) = queue.blocking_recv() {
        hash.update(piece.as_ref());
        file.write_all(piece.as_ref())?;
    }
    Ok(Saved { file, sha256: hash.finish() })
}

/// Whether the time of change tells this state of the file from later ones.
pub(super) fn is_unambiguous(response: &Response) -> bool {
    let (modified, now) = (time(response, &LAST_MODIFIED), time(response, &DATE));
    modified.zip(now).is_some_and(|(modified, now)| modified + CLOCK_SECONDS <= now)
}

/// A time in a header, see RFC 9110, section 5.6.7; its obsolete forms are none.
fn time(response: &Response, name: &HeaderName) -> Option<i64> {
    let text = response.headers().get(name)?.to_str().ok()?;
    rfc2822::parse(text).ok().map(|time| time.timestamp().as_second())
}
