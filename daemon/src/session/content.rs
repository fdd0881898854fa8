//! Stores of blobs that a client has for a build: OCI layouts, and directories with caches.

use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::stream;
use image::{BlobDigest, Descriptor, Digest, Sha256};
use prost::Message;
use tokio::sync::mpsc;
use tonic::metadata::AsciiMetadataValue;
use tonic::{Code, Request, Status, Streaming};

use super::Session;
use super::files::joined;
use super::output::receiving;
use crate::content::{
    CHUNK_BYTES, INFO, InfoRequest, InfoResponse, READ, ReadContentRequest, ReadContentResponse, STORE,
    WRITE, WriteAction, WriteContentRequest, WriteContentResponse,
};

/// Messages that wait for a line that is slower than the disk, or the other way round.
const MESSAGES_WAITING_MAX: usize = 16;

/// One of them.
#[derive(Debug, Clone)]
pub(crate) struct ClientStore {
    session: Arc<Session>,
    id: AsciiMetadataValue,
}

fn number(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// What does not go with the disk is ours, not the client's.
fn disk(path: &Path) -> impl Fn(io::Error) -> Status + use<'_> {
    move |error| Status::internal(format!("`{}`: {error}", path.display()))
}

impl ClientStore {
    /// The store with this name. Whether the client has it is seen when something is asked of it.
    pub(crate) fn new(session: &Arc<Session>, id: &str) -> Result<Self, Status> {
        if !session.offers(INFO) || !session.offers(READ) {
            return Err(Status::failed_precondition(format!(
                "the client does not let the store `{id}` be read"
            )));
        }
        let not_ascii = |_| {
            Status::invalid_argument(format!(
                "the name of the store `{id}` has characters that are not ASCII"
            ))
        };
        Ok(Self { session: session.clone(), id: id.parse().map_err(not_ascii)? })
    }

    fn about<T>(&self, messages: T) -> Request<T> {
        let mut request = Request::new(messages);
        request.metadata_mut().insert(STORE, self.id.clone());
        request
    }

    async fn ask<Q, A>(&self, method: &'static str, message: Q) -> Result<Streaming<A>, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        self.session.caller.bidi(method, self.about(stream::once(std::future::ready(message)))).await
    }

    /// How many bytes a blob has; none when it is not there.
    pub(crate) async fn size_bytes(&self, digest: &BlobDigest) -> Result<Option<u64>, Status> {
        let asked = async {
            let mut answers: Streaming<InfoResponse> =
                self.ask(INFO, InfoRequest { digest: digest.to_string() }).await?;
            answers.message().await
        };
        match asked.await {
            Ok(answer) => {
                let info = answer.and_then(|answer| answer.info);
                Ok(info.and_then(|info| u64::try_from(info.size).ok()))
            }
            Err(status) if status.code() == Code::NotFound => Ok(None),
            Err(status) => Err(status),
        }
    }

    /// A small blob, verified.
    pub(crate) async fn document(&self, digest: &BlobDigest, bytes_max: u64) -> Result<Vec<u8>, Status> {
        let asked = ReadContentRequest { digest: digest.to_string(), ..ReadContentRequest::default() };
        let mut answers: Streaming<ReadContentResponse> = self.ask(READ, asked).await?;
        let mut bytes = Vec::new();
        while let Some(answer) = answers.message().await? {
            bytes.extend_from_slice(&answer.data);
            if bytes.len() as u64 > bytes_max {
                return Err(too_large(digest, bytes_max));
            }
        }
        let actual = BlobDigest(Digest::of(&bytes));
        if actual == *digest { Ok(bytes) } else { Err(wrong(digest, &actual)) }
    }

    /// Reads a blob into a file that appears whole, verified.
    pub(crate) async fn fetch(&self, digest: &BlobDigest, bytes_max: u64, to: PathBuf) -> Result<(), Status> {
        let asked = ReadContentRequest { digest: digest.to_string(), ..ReadContentRequest::default() };
        let mut answers: Streaming<ReadContentResponse> = self.ask(READ, asked).await?;
        let (bring, brought) = mpsc::channel::<Vec<u8>>(MESSAGES_WAITING_MAX);
        let expected = *digest;
        let written = crate::blocking::spawn_blocking(move || write(brought, &expected, bytes_max, &to));
        let pump = async {
            while let Some(answer) = answers.message().await? {
                if bring.send(answer.data).await.is_err() {
                    break;
                }
            }
            drop(bring);
            Ok::<_, Status>(())
        };
        let (pumped, written) = futures_util::future::join(pump, joined(written)).await;
        // A client that ends the call says why.
        pumped.and(written?)
    }

    /// Writes the blob that is in a file, unless the client has it.
    pub(crate) async fn send(&self, blob: &Descriptor, from: PathBuf) -> Result<(), Status> {
        if self.size_bytes(&blob.digest).await? == Some(blob.size_bytes) {
            return Ok(());
        }
        let (send, sent) = mpsc::channel(MESSAGES_WAITING_MAX);
        let (digest, total) = (blob.digest.to_string(), number(blob.size_bytes));
        let read = crate::blocking::spawn_blocking(move || pieces(&from, &digest, total, &send));
        let ended = async {
            let answers = self.session.caller.bidi(WRITE, self.about(receiving(sent)));
            let mut answers: Streaming<WriteContentResponse> = answers.await?;
            let mut is_done = false;
            while let Some(answer) = answers.message().await? {
                is_done |= answer.action() == WriteAction::Commit;
            }
            match is_done {
                true => Ok(()),
                false => Err(Status::aborted(format!("the client has not kept the blob {}", blob.digest))),
            }
        };
        let (ended, read) = futures_util::future::join(ended, joined(read)).await;
        match (ended, read?) {
            // Another build may have written the same meanwhile.
            (Err(status), _) if status.code() == Code::AlreadyExists => Ok(()),
            (Err(status), _) => Err(status),
            (Ok(()), read) => read,
        }
    }
}

fn too_large(digest: &BlobDigest, bytes_max: u64) -> Status {
    Status::resource_exhausted(format!("the blob {digest} has more than {bytes_max} bytes"))
}

fn wrong(expected: &BlobDigest, actual: &BlobDigest) -> Status {
    Status::data_loss(format!("the client sent {actual} as the blob {expected}"))
}

/// Keeps what arrives if it is what it should be.
fn write(
    mut brought: mpsc::Receiver<Vec<u8>>,
    expected: &BlobDigest,
    bytes_max: u64,
    to: &Path,
) -> Result<(), Status> {
    let directory = to.parent().expect("what is written is in a directory");
    fs::create_dir_all(directory).map_err(disk(directory))?;
    let mut staged = tempfile::NamedTempFile::new_in(directory).map_err(disk(directory))?;
    let (mut hasher, mut count) = (Sha256::new(), 0);
    while let Some(data) = brought.blocking_recv() {
        count += data.len() as u64;
        if count > bytes_max {
            return Err(too_large(expected, bytes_max));
        }
        hasher.update(&data);
        staged.write_all(&data).map_err(disk(to))?;
    }
    let actual = BlobDigest(hasher.finish());
    if actual != *expected {
        return Err(wrong(expected, &actual));
    }
    staged.persist(to).map_err(|error| disk(to)(error.error))?;
    Ok(())
}

/// What is said of a blob that is written: what it is, its pieces, and that it is complete.
fn pieces(
    from: &Path,
    digest: &str,
    total: i64,
    send: &mpsc::Sender<WriteContentRequest>,
) -> Result<(), Status> {
    let mut file = File::open(from).map_err(disk(from))?;
    let message = |action: WriteAction, offset| WriteContentRequest {
        action: action.into(),
        r#ref: digest.to_owned(),
        total,
        expected: digest.to_owned(),
        offset,
        data: Vec::new(),
    };
    // Whoever no longer listens says why.
    let gone = |_| Status::cancelled("the client takes no more");
    send.blocking_send(message(WriteAction::Stat, 0)).map_err(gone)?;
    let mut offset = 0;
    loop {
        let mut data = vec![0; CHUNK_BYTES];
        let count = file.read(&mut data).map_err(disk(from))?;
        if count == 0 {
            break;
        }
        data.truncate(count);
        let piece = WriteContentRequest { data, ..message(WriteAction::Write, offset) };
        send.blocking_send(piece).map_err(gone)?;
        offset += number(count as u64);
    }
    send.blocking_send(message(WriteAction::Commit, offset)).map_err(gone)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(pieces: &[&[u8]], expected: &[u8], bytes_max: u64) -> (Result<(), Code>, usize) {
        let root = tempfile::tempdir().unwrap();
        let (bring, brought) = mpsc::channel(pieces.len().max(1));
        pieces.iter().for_each(|piece| bring.try_send(piece.to_vec()).unwrap());
        drop(bring);
        let digest = BlobDigest(Digest::of(expected));
        let written = write(brought, &digest, bytes_max, &root.path().join("blobs/it"));
        let files = fs::read_dir(root.path().join("blobs")).unwrap().count();
        (written.map_err(|status| status.code()), files)
    }

    #[test]
    fn a_blob_of_a_client_is_what_its_name_says_or_nothing() {
        assert_eq!(kept(&[b"te", b"xt"], b"text", 4), (Ok(()), 1));
        assert_eq!(kept(&[], b"", 4), (Ok(()), 1));
        assert_eq!(kept(&[b"te", b"xt"], b"other", 4), (Err(Code::DataLoss), 0));
        assert_eq!(kept(&[b"te"], b"text", 4), (Err(Code::DataLoss), 0));
        assert_eq!(kept(&[b"te", b"xt"], b"text", 3), (Err(Code::ResourceExhausted), 0));
    }
}
