//! The one place where blocking work leaves the async threads.

/// Runs `work` on a thread that may block, and returns what it returned. A panic goes on here.
///
/// Dropping the future does not stop `work`: whatever can take long holds a way to be told.
pub(crate) async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(value) => value,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // Only a runtime that is shutting down cancels, and then nobody polls this any more.
            Err(_) => std::future::pending().await,
        },
    }
}
