//! Bytes between the store, whose files block, and servers.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};
use tokio::sync::mpsc;

use super::RemoteCacheError;
use crate::blocking::blocking;

/// Pieces that wait to be written; the server waits for more.
const PIECES_MAX: usize = 16;

/// A part of a file.
pub(super) async fn part(file: &Arc<File>, offset: u64, count: u64) -> Result<Bytes, RemoteCacheError> {
    let file = file.clone();
    let read = move || {
        let mut bytes = vec![0; usize::try_from(count).expect("a part is in memory")];
        file.read_exact_at(&mut bytes, offset)?;
        io::Result::Ok(Bytes::from(bytes))
    };
    Ok(blocking(read).await.map_err(|source| cache::StoreError::Input { source })?)
}

/// All that comes, which is a document.
pub(super) async fn document<E>(
    mut stream: BoxStream<'_, Result<Bytes, E>>,
    size_bytes_max: u64,
) -> Result<Vec<u8>, RemoteCacheError>
where
    RemoteCacheError: From<E>,
{
    let mut bytes = Vec::new();
    while let Some(piece) = stream.next().await {
        bytes.extend_from_slice(&piece?);
        if bytes.len() as u64 > size_bytes_max {
            return Err(RemoteCacheError::TooLarge { size_bytes: bytes.len() as u64, size_bytes_max });
        }
    }
    Ok(bytes)
}

/// Gives what comes to `write`, on a thread that may block; an error of the one side ends the other.
pub(super) async fn receive<T: Send + 'static, E>(
    mut stream: BoxStream<'_, Result<Bytes, E>>,
    write: impl FnOnce(&mut dyn Read) -> Result<T, cache::StoreError> + Send + 'static,
) -> Result<T, RemoteCacheError>
where
    RemoteCacheError: From<E>,
{
    let (pieces, queue) = mpsc::channel(PIECES_MAX);
    let receiving = async move {
        while let Some(piece) = stream.next().await {
            // Whoever takes no more pieces tells why itself.
            if pieces.send(piece?).await.is_err() {
                break;
            }
        }
        Ok::<(), RemoteCacheError>(())
    };
    let writing = blocking(move || write(&mut Pieces { queue, piece: Bytes::new() }));
    let (received, written) = futures_util::future::join(receiving, writing).await;
    received?;
    Ok(written?)
}

/// What has come, as a reader.
struct Pieces {
    queue: mpsc::Receiver<Bytes>,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.piece.is_empty() {
            match self.queue.blocking_recv() {
                Some(piece) => self.piece = piece,
                None => return Ok(0),
            }
        }
        let count = buffer.len().min(self.piece.len());
        buffer[..count].copy_from_slice(&self.piece.split_to(count));
        Ok(count)
    }
}
