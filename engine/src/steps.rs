//! Numbers the steps of a build and tells their news.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use image::{Digest, Hasher};

use crate::report::BuildReport;
use crate::why::Reason;
use crate::{Event, Progress, Step, StepId, Stream};

/// The steps of one build.
pub(crate) struct Steps {
    progress: Progress,
    spans: Mutex<BTreeMap<StepId, Span>>,
}

/// A step and its times.
#[derive(Debug, Clone)]
pub(crate) struct Span {
    pub(crate) name: String,
    pub(crate) inputs: Vec<StepId>,
    pub(crate) began: Option<SystemTime>,
    pub(crate) ended: Option<(SystemTime, Ending)>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Ending {
    Done,
    Cached { age: Duration },
    Failed(String),
}

impl Steps {
    pub(crate) fn new(progress: Progress) -> Self {
        Self { progress, spans: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<StepId, Span>> {
        self.spans.lock().expect("no holder of the lock panics")
    }

    /// Announces a step.
    pub(crate) fn announce(&self, name: &str, identity: Option<Digest>, inputs: Vec<StepId>) -> StepId {
        let id = {
            let mut spans = self.lock();
            let id = StepId(u32::try_from(spans.len() + 1).expect("a build has fewer than 2^32 steps"));
            let span = Span { name: name.to_owned(), inputs: inputs.clone(), began: None, ended: None };
            spans.insert(id, span);
            id
        };
        let digest = identity.unwrap_or_else(|| Hasher::new("step/v1").field("name", name).finish());
        (self.progress)(Event::Announced(Step { id, name: name.to_owned(), digest, inputs }));
        id
    }

    /// Announces and begins a step of the engine's own.
    pub(crate) fn begin(&self, name: &str) -> StepId {
        self.begin_after(name, Vec::new())
    }

    /// The same for one that needs these steps.
    pub(crate) fn begin_after(&self, name: &str, inputs: Vec<StepId>) -> StepId {
        let step = self.announce(name, None, inputs);
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
        let now = SystemTime::now();
        let is_news = |span: &mut Span| {
            let is_news = span.began.is_none();
            span.began.get_or_insert(now);
            is_news
        };
        if self.lock().get_mut(&step).is_some_and(is_news) {
            (self.progress)(Event::Started { step, at: now });
        }
    }

    fn end(&self, step: StepId, at: SystemTime, how: Ending) {
        if let Some(span) = self.lock().get_mut(&step) {
            span.began.get_or_insert(at);
            span.ended = Some((at, how));
        }
    }

    pub(crate) fn cached(&self, step: StepId, created_unix_ns: i64) {
        let now = SystemTime::now();
        let created =
            SystemTime::UNIX_EPOCH + Duration::from_nanos(u64::try_from(created_unix_ns).unwrap_or(0));
        let age = now.duration_since(created).unwrap_or_default();
        self.end(step, now, Ending::Cached { age });
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
        let at = SystemTime::now();
        self.end(step, at, Ending::Done);
        (self.progress)(Event::Completed { step, at, error: None });
    }

    pub(crate) fn fail(&self, step: StepId, error: String) {
        let at = SystemTime::now();
        self.end(step, at, Ending::Failed(error.clone()));
        (self.progress)(Event::Completed { step, at, error: Some(error) });
    }

    pub(crate) fn warn(&self, rule: &str, message: &str, rendered: String) {
        (self.progress)(Event::Warned { rule: rule.to_owned(), message: message.to_owned(), rendered });
    }

    pub(crate) fn report(&self, report: BuildReport) {
        (self.progress)(Event::Reported(Box::new(report)));
    }

    /// All steps, in the order in which they were announced.
    pub(crate) fn spans(&self) -> BTreeMap<StepId, Span> {
        self.lock().clone()
    }
}
