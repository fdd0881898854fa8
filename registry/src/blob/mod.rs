//! Blobs: fetched in ranges, sent in one piece or in chunks, both going on after a break.

mod fetch;
mod range;
mod upload;

use std::future::Future;
use std::io;
use std::pin::Pin;

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

/// Any source: an upload is compiled once for all.
trait AnySource: Send + Sync {
    /// See [`Source::read_at`].
    fn read(&self, offset: u64, length: usize) -> Read<'_>;
}

/// Bytes that are being read.
type Read<'a> = Pin<Box<dyn Future<Output = io::Result<Bytes>> + Send + 'a>>;

impl<S: Source> AnySource for S {
    fn read(&self, offset: u64, length: usize) -> Read<'_> {
        Box::pin(self.read_at(offset, length))
    }
}
