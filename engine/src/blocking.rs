//! The one place where blocking work leaves the async threads.

use std::any::Any;

use tokio::task::JoinError;

/// What some work comes to.
type Value = Box<dyn Any + Send>;

/// Runs `work` on a thread that may block, and returns what it returned. A panic goes on here.
///
/// Dropping the future does not stop `work`: whatever can take long holds a way to be told.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    // What the runtime needs for a task is compiled once, and not for each of a hundred kinds of work.
    let value = run(Box::new(move || Box::new(work()) as Value)).await;
    *value.downcast().expect("work comes to what it returns")
}

async fn run(work: Box<dyn FnOnce() -> Value + Send>) -> Value {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => panicked(error).await,
    }
}

async fn panicked(error: JoinError) -> Value {
    match error.try_into_panic() {
        Ok(panic) => std::panic::resume_unwind(panic),
        // Only a runtime that is shutting down cancels, and then nobody polls this any more.
        Err(_) => std::future::pending().await,
    }
}
