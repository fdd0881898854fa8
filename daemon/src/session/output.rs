//! What a build sends back to its client: `FileSend.DiffCopy`.

use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use futures_util::stream;
use prost::Message;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tonic::metadata::MetadataKey;
use tonic::{Request, Status, Streaming};

use super::Session;
use super::files::joined;
use super::packets;
use super::send_tree::{Everything, send_tree};
use crate::proto::filesync::BytesMessage;
use crate::proto::{Packet, PacketType};

pub(crate) const DIFF_COPY: &str = "/moby.filesync.v1.FileSend/DiffCopy";
/// Which of several outputs it is.
pub(crate) const EXPORTER_ID: &str = "buildkit-attachable-exporter-id";
/// What goes before a fact about the result.
const FACT: &str = "exporter-md-";
/// Bytes in one message.
const CHUNK_BYTES: usize = 128 << 10;
/// Messages that wait for a line that is slower than the disk.
pub(crate) const MESSAGES_WAITING_MAX: usize = 16;

/// Why nothing, or not all, was sent.
#[derive(Debug)]
pub(crate) enum SendError<E> {
    /// The client did not take it.
    Client(Status),
    /// It could not be made.
    Made(E),
}

/// An output of the client's: which, and what it is told about the result.
pub(crate) struct ClientOutput<'a> {
    pub(crate) exporter: usize,
    pub(crate) facts: &'a [(String, String)],
}

impl ClientOutput<'_> {
    fn request<T>(&self, messages: T) -> Request<T> {
        let mut request = Request::new(messages);
        let metadata = request.metadata_mut();
        metadata.insert(EXPORTER_ID, self.exporter.into());
        for (name, value) in self.facts {
            let key: Result<MetadataKey<_>, _> = format!("{FACT}{}", name.to_lowercase()).parse();
            // What cannot be a header is left out, as in BuildKit; no client needs it.
            if let (Ok(key), Ok(value)) = (key, value.parse()) {
                metadata.insert(key, value);
            }
        }
        request
    }
}

/// Takes bytes on a thread that may block.
struct Chunks {
    send: Sender<BytesMessage>,
    chunk: Vec<u8>,
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(CHUNK_BYTES - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..count]);
        if self.chunk.len() == CHUNK_BYTES {
            self.flush()?;
        }
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let data = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
        self.send.blocking_send(BytesMessage { data }).map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl Session {
    /// Whether the client takes anything.
    pub(crate) fn takes_output(&self) -> bool {
        self.offers(DIFF_COPY)
    }

    /// Sends what `write` writes.
    pub(crate) async fn send_bytes<E: Send + 'static>(
        &self,
        output: &ClientOutput<'_>,
        write: impl FnOnce(&mut dyn Write) -> Result<(), E> + Send + 'static,
    ) -> Result<(), SendError<E>> {
        let (send, sent) = mpsc::channel(MESSAGES_WAITING_MAX);
        let messages = output.request(receiving(sent));
        let written = crate::blocking::spawn_blocking(move || {
            let mut chunks = Chunks { send, chunk: Vec::with_capacity(CHUNK_BYTES) };
            let written = write(&mut chunks);
            // A client that no longer listens says so itself.
            let _ = chunks.flush();
            written
        });
        // The client does not answer before it has the first message.
        let ended = async {
            let answers = self.caller.bidi::<BytesMessage, BytesMessage>(DIFF_COPY, messages);
            until_end(&mut answers.await?).await
        };
        let (ended, written) = futures_util::future::join(ended, joined(written)).await;
        match (ended, written.map_err(SendError::Client)?) {
            (Err(status), _) => Err(SendError::Client(status)),
            (Ok(()), Err(error)) => Err(SendError::Made(error)),
            (Ok(()), Ok(())) => Ok(()),
        }
    }

    /// Sends the files of a tree, as far as the client does not have them; `with_root` opens it.
    pub(crate) async fn send_files<E: Send + 'static>(
        &self,
        output: &ClientOutput<'_>,
        with_root: impl FnOnce(&mut dyn FnMut(BorrowedFd<'_>) -> io::Result<()>) -> Result<(), E> + Send + 'static,
    ) -> Result<(), SendError<E>> {
        let (send, sent) = mpsc::channel(packets::WAITING_MAX);
        let messages = output.request(packets::leaving(sent));
        // As many as there are files; see where files are received.
        let (ask, mut asked) = mpsc::unbounded_channel();
        let written = crate::blocking::spawn_blocking(move || {
            with_root(&mut |root| send_tree(root, &Everything, &send, &mut asked))
        });
        let pump = async {
            let mut answers = self.caller.bidi::<Packet, Packet>(DIFF_COPY, messages).await?;
            while let Some(packet) = answers.message().await? {
                let is_last = packet.r#type == PacketType::PacketFin as i32;
                if ask.send(packet).is_err() || is_last {
                    break;
                }
            }
            drop(ask);
            until_end(&mut answers).await
        };
        let (ended, written) = futures_util::future::join(pump, joined(written)).await;
        match (ended, written.map_err(SendError::Client)?) {
            (Err(status), _) => Err(SendError::Client(status)),
            (Ok(()), Err(error)) => Err(SendError::Made(error)),
            (Ok(()), Ok(())) => Ok(()),
        }
    }
}

pub(crate) fn receiving<T: Send + 'static>(
    messages: Receiver<T>,
) -> impl futures_util::Stream<Item = T> + Send + 'static {
    stream::unfold(messages, |mut messages| async { Some((messages.recv().await?, messages)) })
}

/// The client ends the call when it has all.
async fn until_end<T: Message + Default>(answers: &mut Streaming<T>) -> Result<(), Status> {
    while answers.message().await?.is_some() {}
    Ok(())
}
