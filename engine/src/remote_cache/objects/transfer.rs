//! Blobs on their way to an object store and from it.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::{BoxStream, StreamExt as _};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, WriteMultipart};
use tokio::sync::mpsc;

use crate::blocking::blocking;
use crate::remote_cache::RemoteCacheError;

/// Smaller objects are sent with one request; larger ones in parts of at least this size. Amazon wants 5 MiB.
const PART_BYTES_MIN: u64 = 8 << 20;
/// Amazon takes 10 000 parts.
const PARTS_MAX: u64 = 9_999;
/// Parts of one object that are on their way at the same time.
const PARTS_AT_ONCE_MAX: usize = 2;
/// Pieces that wait to be written; the server waits for more.
const PIECES_MAX: usize = 16;

/// Sends a file of so many bytes, which becomes visible whole or not at all.
pub(super) async fn send(
    objects: &dyn ObjectStore,
    path: &Path,
    file: File,
    size_bytes: u64,
) -> Result<(), RemoteCacheError> {
    let file = Arc::new(file);
    if size_bytes <= PART_BYTES_MIN {
        let bytes = part(&file, 0, size_bytes).await?;
        objects.put(path, PutPayload::from_bytes(bytes)).await?;
        return Ok(());
    }
    let part_bytes = size_bytes.div_ceil(PARTS_MAX).max(PART_BYTES_MIN);
    let chunk_bytes = usize::try_from(part_bytes).expect("a part is in memory");
    let upload = objects.put_multipart(path).await?;
    let mut upload = WriteMultipart::new_with_chunk_size(upload, chunk_bytes);
    match send_parts(&mut upload, &file, size_bytes, part_bytes).await {
        Ok(()) => {
            upload.finish().await?;
            Ok(())
        }
        Err(error) => {
            // Best effort: parts of an upload that nobody ends cost money, and rules of the bucket remove them.
            if let Err(error) = upload.abort().await {
                tracing::warn!(%error, "cannot abort an upload");
            }
            Err(error)
        }
    }
}

async fn send_parts(
    upload: &mut WriteMultipart,
    file: &Arc<File>,
    size_bytes: u64,
    part_bytes: u64,
) -> Result<(), RemoteCacheError> {
    let mut offset = 0;
    while offset < size_bytes {
        let count = part_bytes.min(size_bytes - offset);
        upload.wait_for_capacity(PARTS_AT_ONCE_MAX).await?;
        upload.put(part(file, offset, count).await?);
        offset += count;
    }
    Ok(())
}

async fn part(file: &Arc<File>, offset: u64, count: u64) -> Result<Bytes, RemoteCacheError> {
    let file = file.clone();
    let read = move || {
        let mut bytes = vec![0; usize::try_from(count).expect("a part is in memory")];
        file.read_exact_at(&mut bytes, offset)?;
        io::Result::Ok(Bytes::from(bytes))
    };
    Ok(blocking(read).await.map_err(|source| cache::StoreError::Input { source })?)
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
