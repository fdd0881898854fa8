//! A Docker daemon on this machine, through its socket: `GET /images/NAME/get` and `POST /images/load`.
//!
//! The daemon takes whole archives only, and leaves out by itself the layers that it has.

use std::io::{self, Write};
use std::path::PathBuf;

use bytes::Bytes;
use cache::Store;
use futures_util::{StreamExt as _, TryStreamExt as _};
use image::{ImageId, Platform, Reference};
use reqwest::{Client, Response};
use tokio::sync::mpsc;

use super::NO_PROGRESS;
use crate::blocking::blocking;
use crate::images::archive::{self, LayoutName, Source};
use crate::images::bundle::ArchiveKind;
use crate::images::form::ImageForm;
use crate::images::load::one_archived;
use crate::images::{ImageError, export_archive};

/// Where the daemon listens unless `DOCKER_HOST` says otherwise.
const SOCKET: &str = "/var/run/docker.sock";
const HOST_VARIABLE: &str = "DOCKER_HOST";
/// The oldest version of the interface that current daemons speak.
const VERSION: &str = "v1.40";
/// Pieces of an archive that may wait for the daemon, and for us.
const PIECES_MAX: usize = 4;
const PIECE_BYTES: usize = 256 << 10;
/// Of what the daemon says.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// Takes an image from the daemon.
pub(super) async fn fetch(
    store: &Store,
    name: &Reference,
    platform: &Platform,
) -> Result<ImageId, ImageError> {
    let url = url(&format!("/images/{}/get", name.familiar()));
    let response = client()?.get(url).send().await.map_err(unreachable_daemon)?;
    let response = accepted(response).await?;
    let (sender, receiver) = mpsc::channel(PIECES_MAX);
    let (store, name, platform) = (store.clone(), LayoutName::Tag(name.to_string()), platform.clone());
    let read = blocking(move || {
        let archive = archive::open(&store, Source::Stream(&mut Pieces::new(receiver)), NO_PROGRESS)?;
        one_archived(&store, &archive, Some(&name), &platform, NO_PROGRESS)
    });
    let sent = async {
        let mut pieces = response.bytes_stream();
        while let Some(piece) = pieces.next().await {
            // Who no longer reads says why.
            if sender.send(piece.map_err(io::Error::other)).await.is_err() {
                break;
            }
        }
        drop(sender);
    };
    futures_util::future::join(read, sent).await.0
}

/// Gives an image to the daemon.
pub(super) async fn send(store: &Store, id: ImageId, name: Reference) -> Result<(), ImageError> {
    let (sender, receiver) = mpsc::channel::<io::Result<Bytes>>(PIECES_MAX);
    let store = store.clone();
    let written = blocking(move || {
        let mut to = io::BufWriter::with_capacity(PIECE_BYTES, Channel(sender));
        let (kind, form) = (ArchiveKind::Docker, ImageForm::default());
        export_archive(&store, &id.into(), &[name], kind, &form, &mut to, NO_PROGRESS)?;
        to.flush().map_err(|source| ImageError::WriteStream { source })
    });
    let pieces = futures_util::stream::unfold(receiver, |mut receiver| async {
        receiver.recv().await.map(|piece| (piece, receiver))
    });
    let body = reqwest::Body::wrap_stream(pieces);
    let request =
        client()?.post(url("/images/load?quiet=1")).header("content-type", "application/x-tar").body(body);
    let answered = async { accepted(request.send().await.map_err(unreachable_daemon)?).await };
    let (written, answered) = futures_util::future::join(written, answered).await;
    let answer = match (written, answered) {
        // What the daemon says is the cause of a broken stream.
        (Err(ImageError::WriteStream { .. }), Err(error)) => return Err(error),
        (written, answered) => {
            written?;
            answered?
        }
    };
    loaded(answer).await
}

/// The daemon tells of faults in the middle of its answer.
async fn loaded(answer: Response) -> Result<(), ImageError> {
    let text = text(answer).await?;
    let told = text.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
    match told.into_iter().find_map(|line| line["error"].as_str().map(str::to_owned)) {
        Some(said) => Err(refused(said)),
        None => Ok(()),
    }
}

async fn accepted(response: Response) -> Result<Response, ImageError> {
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let text = text(response).await?;
    let told: Option<serde_json::Value> = serde_json::from_str(&text).ok();
    let said = told.as_ref().and_then(|told| told["message"].as_str());
    Err(refused(said.map_or_else(|| status.to_string(), str::to_owned)))
}

async fn text(response: Response) -> Result<String, ImageError> {
    let pieces = response.bytes_stream().map_err(unreachable_daemon);
    let all = pieces.try_fold(Vec::new(), |mut all, piece| async move {
        all.extend_from_slice(&piece[..piece.len().min(ANSWER_BYTES_MAX.saturating_sub(all.len()))]);
        Ok(all)
    });
    Ok(String::from_utf8_lossy(&all.await?).into_owned())
}

fn refused(said: String) -> ImageError {
    ImageError::Daemon { source: said.into() }
}

fn unreachable_daemon(error: reqwest::Error) -> ImageError {
    ImageError::Daemon { source: error.without_url().into() }
}

fn client() -> Result<Client, ImageError> {
    let host = std::env::var(HOST_VARIABLE).ok().filter(|host| !host.is_empty());
    let socket = match host.as_deref() {
        None => PathBuf::from(SOCKET),
        Some(host) => match host.strip_prefix("unix://") {
            Some(path) => PathBuf::from(path),
            None => {
                let text = format!("{HOST_VARIABLE} is `{host}`, and only unix:// is spoken");
                return Err(ImageError::Daemon { source: text.into() });
            }
        },
    };
    let tls = crate::net::tls().map_err(|error| ImageError::Daemon { source: error.into() })?;
    let builder = Client::builder().tls_backend_preconfigured(tls).no_proxy().unix_socket(socket);
    builder.build().map_err(unreachable_daemon)
}

/// The host is the socket's other end.
fn url(path: &str) -> String {
    format!("http://docker/{VERSION}{path}")
}

/// Sends what is written to it.
struct Channel(mpsc::Sender<io::Result<Bytes>>);

impl Write for Channel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let piece = Ok(Bytes::copy_from_slice(bytes));
        self.0.blocking_send(piece).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads what is sent to it.
struct Pieces {
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    current: Bytes,
}

impl Pieces {
    fn new(receiver: mpsc::Receiver<io::Result<Bytes>>) -> Self {
        Self { receiver, current: Bytes::new() }
    }
}

impl io::Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() {
            match self.receiver.blocking_recv() {
                Some(piece) => self.current = piece?,
                None => return Ok(0),
            }
        }
        let count = self.current.len().min(buffer.len());
        buffer[..count].copy_from_slice(&self.current.split_to(count));
        Ok(count)
    }
}
