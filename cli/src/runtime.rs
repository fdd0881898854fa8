//! Runs a future until it is done or the user has had enough.

use std::future::Future;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::report::{Exit, Report};

/// Work on other threads that does not notice its cancellation is left behind after this time.
const CANCEL_WAIT: Duration = Duration::from_millis(800);

/// The user pressed Ctrl-C, or somebody else asked the process to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Interrupted;

/// Runs `future` on this thread. A signal to end drops the future, which cancels its work.
pub(crate) fn interruptible<T>(future: impl Future<Output = T>) -> Result<Result<T, Interrupted>, Report> {
    let machine =
        |error: std::io::Error| Report::new(Exit::Machine, format!("cannot start the runtime: {error}"));
    let runtime = Builder::new_current_thread().enable_all().build().map_err(machine)?;
    let result = runtime.block_on(async {
        let mut interrupt = signal(SignalKind::interrupt()).map_err(machine)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(machine)?;
        let mut hangup = signal(SignalKind::hangup()).map_err(machine)?;
        tokio::select! {
            biased;
            output = future => Ok(Ok(output)),
            _ = interrupt.recv() => Ok(Err(Interrupted)),
            _ = terminate.recv() => Ok(Err(Interrupted)),
            _ = hangup.recv() => Ok(Err(Interrupted)),
        }
    });
    match result {
        // Whoever has its result has waited for all that counts; threads that wait for work end with the process.
        Ok(Ok(_)) => runtime.shutdown_background(),
        _ => runtime.shutdown_timeout(CANCEL_WAIT),
    }
    result
}
