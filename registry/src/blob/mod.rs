//! Blobs: fetched in ranges, sent in one piece or in chunks, both going on after a break.

mod fetch;
mod range;
mod upload;

use std::future::Future;
use std::io;

use bytes::Bytes;

pub use fetch::Fetch;
pub use upload::{Mounting, Pushed};

/// Where the bytes of a blob go.
///
/// Pieces come in any order and each once, unless a transfer begins again: then the later bytes count. Whoever owns
/// the sink verifies the whole before it becomes visible.
pub trait Sink: Send + Sync {
    /// Keeps `bytes` at `offset`.
    fn write_at(&self, offset: u64, bytes: Bytes) -> impl Future<Output = io::Result<()>> + Send;
}

/// Where the bytes of a blob come from.
pub trait Source: Send + Sync + 'static {
    /// Up to `length` bytes at `offset`; fewer only at the end.
    fn read_at(&self, offset: u64, length: usize) -> impl Future<Output = io::Result<Bytes>> + Send;
}
