//! Numbers the steps of a build and tells their news.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime};

use image::{Digest, Hasher};

use crate::why::Reason;
use crate::{Event, Progress, Step, StepId, Stream};

/// The steps of one build.
pub(crate) struct Steps {
    progress: Progress,
    started: Mutex<BTreeMap<StepId, bool>>,
}

impl Steps {
    pub(crate) fn new(progress: Progress) -> Self {
        Self { progress, started: Mutex::new(BTreeMap::new()) }
    }

    /// Announces a step.
    pub(crate) fn announce(&self, name: &str, identity: Option<Digest>, inputs: Vec<StepId>) -> StepId {
        let id = {
            let mut started = self.started.lock().expect("no holder of the lock panics");
            let id = StepId(u32::try_from(started.len() + 1).expect("a build has fewer than 2^32 steps"));
            started.insert(id, false);
            id
        };
        let digest = identity.unwrap_or_else(|| Hasher::new("step/v1").field("name", name).finish());
        (self.progress)(Event::Announced(Step { id, name: name.to_owned(), digest, inputs }));
        id
    }

    /// Announces and begins a step of the engine's own.
    pub(crate) fn begin(&self, name: &str) -> StepId {
        let step = self.announce(name, None, Vec::new());
        self.start(step);
        step
    }

    /// Announces a step of the engine's own, and tells how `work` ends.
    pub(crate) async fn during<T, E: std::error::Error>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let step = self.begin(name);
        let result = work.await;
        match &result {
            Ok(_) => self.complete(step),
            Err(error) => self.fail(step, error.to_string()),
        }
        result
    }

    /// The step begins. Said once; a step that is cached has begun as well.
    pub(crate) fn start(&self, step: StepId) {
        let before = self.started.lock().expect("no holder of the lock panics").insert(step, true);
        if before != Some(true) {
            (self.progress)(Event::Started { step, at: SystemTime::now() });
        }
    }

    pub(crate) fn cached(&self, step: StepId, created_unix_ns: i64) {
        let now = SystemTime::now();
        let created =
            SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(created_unix_ns).unwrap_or(0));
        let age = now.duration_since(created).unwrap_or_default();
        (self.progress)(Event::Cached { step, at: now, age });
    }

    pub(crate) fn explain(&self, step: StepId, reasons: Vec<Reason>) {
        (self.progress)(Event::Explained { step, reasons, at: SystemTime::now() });
    }

    pub(crate) fn output(&self, step: StepId, stream: Stream, bytes: &[u8]) {
        (self.progress)(Event::Output { step, stream, bytes: bytes.to_vec(), at: SystemTime::now() });
    }

    pub(crate) fn progressed(&self, step: StepId, part: &str, current: u64, total: Option<u64>) {
        let at = SystemTime::now();
        (self.progress)(Event::Progressed { step, part: part.to_owned(), current, total, at });
    }

    pub(crate) fn complete(&self, step: StepId) {
        (self.progress)(Event::Completed { step, at: SystemTime::now(), error: None });
    }

    pub(crate) fn fail(&self, step: StepId, error: String) {
        (self.progress)(Event::Completed { step, at: SystemTime::now(), error: Some(error) });
    }

    pub(crate) fn warn(&self, rule: &str, message: &str, rendered: String) {
        (self.progress)(Event::Warned { rule: rule.to_owned(), message: message.to_owned(), rendered });
    }
}
