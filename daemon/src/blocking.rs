//! Work that blocks, on a thread of its own.

use std::any::Any;
use std::future::Future;

use tokio::task::{JoinError, JoinHandle};

/// What some work comes to.
type Value = Box<dyn Any + Send>;

/// [`tokio::task::spawn_blocking`], compiled once and not for each kind of work.
pub(crate) fn spawn_blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> impl Future<Output = Result<T, JoinError>> + Send {
    let task = spawn(Box::new(move || Box::new(work()) as Value));
    async move { task.await.map(|value| *value.downcast().expect("work comes to what it returns")) }
}

fn spawn(work: Box<dyn FnOnce() -> Value + Send>) -> JoinHandle<Value> {
    tokio::task::spawn_blocking(work)
}
