//! Patience with faults that may pass.

use std::fmt::Display;
use std::time::Duration;

/// How long to wait at most before asking again. After the last time the fault is what is told.
const RETRY_WAITS: [Duration; 3] =
    [Duration::from_millis(250), Duration::from_secs(1), Duration::from_secs(2)];

/// The part of a wait that is certain. Chance decides about the rest, so that those whom a server has failed together do
/// not come back together.
const WAIT_CERTAIN: f64 = 0.5;

/// Asks, and asks again as long as the fault may pass.
pub(super) async fn patiently<T, E: Display, F: Future<Output = Result<T, E>>>(
    mut ask: impl FnMut() -> F,
    may_pass: impl Fn(&E) -> bool,
) -> Result<T, E> {
    for wait in RETRY_WAITS {
        match ask().await {
            Err(error) if may_pass(&error) => {
                let wait = wait.mul_f64(WAIT_CERTAIN + (1.0 - WAIT_CERTAIN) * fastrand::f64());
                tracing::debug!(%error, "asking again after {wait:?}");
                tokio::time::sleep(wait).await;
            }
            settled => return settled,
        }
    }
    ask().await
}
