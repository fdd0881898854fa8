//! A connection whose bytes travel as messages of a call.

use futures_util::{Stream, StreamExt as _, stream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, ReadHalf};
use tonic::Streaming;

use crate::proto::control::BytesMessage;
use crate::wire::Replies;

/// Bytes in one message, as in BuildKit.
const CHUNK_BYTES: usize = 32 << 10;
/// Bytes on their way in each direction.
pub(crate) const PIPE_BYTES: usize = 256 << 10;

/// The connection, and the messages that its bytes leave as. The connection ends with the messages that arrive, and the
/// messages end with the connection.
pub(super) fn open(mut arriving: Streaming<BytesMessage>) -> (DuplexStream, Replies<BytesMessage>) {
    let (ours, theirs) = tokio::io::duplex(PIPE_BYTES);
    let (read, mut write) = tokio::io::split(theirs);
    tokio::task::spawn_local(async move {
        while let Ok(Some(message)) = arriving.message().await {
            if write.write_all(&message.data).await.is_err() {
                break;
            }
        }
        // The other half may be closed already.
        let _ = write.shutdown().await;
    });
    (ours, Box::pin(chunks(read).map(|data| Ok(BytesMessage { data }))))
}

/// The bytes of a connection in pieces, until it ends.
pub(crate) fn chunks(read: ReadHalf<DuplexStream>) -> impl Stream<Item = Vec<u8>> + Send + 'static {
    stream::unfold(read, |mut read| async move {
        let mut data = vec![0; CHUNK_BYTES];
        match read.read(&mut data).await {
            Ok(count @ 1..) => {
                data.truncate(count);
                Some((data, read))
            }
            _ => None,
        }
    })
}
