//! When to try again: what failed for a moment, a few times, later each time.

use std::time::Duration;

use crate::RegistryError;

/// How often and how late a request is repeated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts in all that may fail without any progress between them.
    pub attempts_max: u32,
    /// Longest wait before the second attempt; it doubles from there. The wait itself is chosen at random below it,
    /// so that many clients do not come back at the same moment.
    pub wait_first: Duration,
    /// Longest wait before any attempt.
    pub wait_max: Duration,
    /// Longest wait that a registry may ask for with `Retry-After`; it is taken at its word up to here.
    pub wait_asked_max: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts_max: 6,
            wait_first: Duration::from_millis(300),
            wait_max: Duration::from_secs(10),
            wait_asked_max: Duration::from_secs(60),
        }
    }
}

/// The attempts at one thing.
#[derive(Debug)]
pub(crate) struct Attempts {
    policy: RetryPolicy,
    /// Since the last progress.
    failed: u32,
    /// In all.
    failed_ever: u32,
}

/// A transfer that gets on a little each time breaks so often, for each attempt that may fail without progress.
const BREAKS_PER_ATTEMPT: u32 = 20;

impl Attempts {
    pub(crate) fn new(policy: RetryPolicy) -> Self {
        Self { policy, failed: 0, failed_ever: 0 }
    }

    /// Something got on: the count starts again.
    pub(crate) fn progressed(&mut self) {
        self.failed = 0;
    }

    /// Waits for the next attempt, or gives the error back when there is none.
    pub(crate) async fn again(
        &mut self,
        error: RegistryError,
        asked: Option<Duration>,
    ) -> Result<(), RegistryError> {
        self.failed += 1;
        self.failed_ever += 1;
        // A host that is not there at all will hardly be there in ten seconds.
        let is_absent = matches!(&error, RegistryError::Unreachable { source, .. } if source.is_connect());
        let attempts_max = if is_absent { self.policy.attempts_max.min(3) } else { self.policy.attempts_max };
        let is_last = self.failed >= attempts_max
            || self.failed_ever >= self.policy.attempts_max.saturating_mul(BREAKS_PER_ATTEMPT);
        if !error.is_network() || is_last {
            return Err(error);
        }
        let wait = self.wait(asked);
        tracing::debug!(%error, attempt = self.failed, ?wait, "a request to a registry is repeated");
        tokio::time::sleep(wait).await;
        Ok(())
    }

    fn wait(&self, asked: Option<Duration>) -> Duration {
        let doubled = self.policy.wait_first.saturating_mul(1 << (self.failed - 1).min(16));
        let longest = doubled.min(self.policy.wait_max);
        let jittered = longest.mul_f64(0.5 + 0.5 * fastrand::f64());
        jittered.max(asked.unwrap_or_default().min(self.policy.wait_asked_max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_and_are_bounded() {
        let policy = RetryPolicy { wait_max: Duration::from_secs(1), ..RetryPolicy::default() };
        for (failed, longest) in [(1, 300), (2, 600), (3, 1000), (30, 1000)] {
            let wait = Attempts { policy, failed, failed_ever: failed }.wait(None);
            let longest = Duration::from_millis(longest);
            assert!(wait <= longest && wait >= longest / 2, "{failed}: {wait:?}");
        }
        let asked =
            |seconds| Attempts { policy, failed: 1, failed_ever: 1 }.wait(Some(Duration::from_secs(seconds)));
        assert_eq!(asked(7), Duration::from_secs(7));
        assert_eq!(asked(7000), Duration::from_secs(60));
    }
}
