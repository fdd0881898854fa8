//! Blobs on their way to an object store.

use std::fs::File;
use std::sync::Arc;

use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutPayload, WriteMultipart};

use crate::remote_cache::RemoteCacheError;
use crate::remote_cache::transfer::part;

/// Smaller objects are sent with one request; larger ones in parts of at least this size. Amazon wants 5 MiB.
const PART_BYTES_MIN: u64 = 8 << 20;
/// Amazon takes 10 000 parts.
const PARTS_MAX: u64 = 9_999;
/// Parts of one object that are on their way at the same time.
const PARTS_AT_ONCE_MAX: usize = 2;

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
