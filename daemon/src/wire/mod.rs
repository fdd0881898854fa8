//! gRPC over HTTP/2, in both directions, without generated code.

mod call;
mod raw;
mod serve;

use std::future::Future;

pub(crate) use call::{Caller, client};
pub(crate) use serve::{Replies, bidi, stream, unary};

/// Largest message that is read or written, as in BuildKit.
pub(crate) const MESSAGE_BYTES_MAX: usize = 16 << 20;
/// What a peer may send before it waits for us, for a connection and for a stream: enough for a context over a fast
/// line.
pub(crate) const WINDOW_BYTES: u32 = 4 << 20;

/// Runs the tasks of connections on the thread that has accepted them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LocalExecutor;

impl<F: Future<Output = ()> + 'static> hyper::rt::Executor<F> for LocalExecutor {
    fn execute(&self, future: F) {
        tokio::task::spawn_local(future);
    }
}
