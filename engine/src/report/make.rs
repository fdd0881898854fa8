//! Puts together what the parts of a build know.

use std::time::SystemTime;

use cache::{LayerId, Store};
use graph::VertexId;
use image::ImageId;

use super::meter::microseconds;
use super::{BuildReport, ReportedStep, StepResult, VERSION};
use crate::ops::BuildWorker;
use crate::steps::{Ending, Span};
use crate::why::{BuildLog, LoggedStep, Outcome, newest_first, reasons};
use crate::{BuildError, Engine, StepId};

/// Whether a build is reported.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Reporting {
    /// At its end, with [`crate::Event::Reported`]. Its processes get control groups that count.
    On,
    /// Not at all.
    #[default]
    Off,
}

/// How a build ended, for its report.
pub(crate) struct Ended<'a> {
    /// The log, and the vertex of each of its steps.
    pub(crate) log: &'a BuildLog,
    pub(crate) vertices: &'a [VertexId],
    pub(crate) result: Result<ImageId, &'a BuildError>,
    pub(crate) began: SystemTime,
}

impl BuildReport {
    /// The report of a build that has ended.
    pub(crate) fn new(engine: &Engine, worker: &BuildWorker, ended: &Ended<'_>) -> Self {
        let Ended { log, vertices, result, began } = ended;
        let spans = worker.steps.spans();
        let mut steps: Vec<_> = spans.iter().map(|(id, span)| reported(*id, span, *began)).collect();
        let mut logs = vec![(*log).clone()];
        logs.extend(newest_first(engine.root()));
        for (at, (step, id)) in log.steps.iter().zip(*vertices).enumerate() {
            let Some(number) = worker.step(*id) else { continue };
            let reported = &mut steps[number.0 as usize - 1];
            reported.add_log(step);
            reported.add_measured(worker, *id);
            reported.reasons = reasons(&logs, at).into_iter().map(Into::into).collect();
        }
        let mut report = Self {
            version: VERSION,
            build: log.id.clone(),
            context: log.context.clone(),
            target: log.target.clone(),
            platform: log.platform.clone(),
            tags: log.tags.clone(),
            image: result.as_ref().ok().map(ToString::to_string),
            error: result.err().map(ToString::to_string),
            began_unix_ns: unix_ns(*began),
            duration_us: microseconds(began.elapsed().unwrap_or_default()),
            critical_path: Vec::new(),
            steps,
        };
        report.find_critical_path();
        report
    }
}

fn reported(id: StepId, span: &Span, began: SystemTime) -> ReportedStep {
    let after = |at: SystemTime| microseconds(at.duration_since(began).unwrap_or_default());
    let ended = span.ended.as_ref();
    ReportedStep {
        number: id.0,
        name: span.name.clone(),
        result: match (span.began, ended.map(|(_, how)| how)) {
            (None, _) => StepResult::NotNeeded,
            (_, Some(Ending::Failed(_)) | None) => StepResult::Failed,
            (_, Some(Ending::Done | Ending::Cached { .. })) => StepResult::Internal,
        },
        inputs: span.inputs.iter().map(|id| id.0).collect(),
        waited_for: None,
        began_us: span.began.map(after),
        ended_us: ended.map(|(at, _)| after(*at)),
        queue_us: 0,
        hash_us: 0,
        run_us: 0,
        commit_us: 0,
        digest_us: 0,
        layer_bytes: None,
        usage: None,
        key: None,
        age_s: match ended {
            Some((_, Ending::Cached { age })) => Some(age.as_secs()),
            _ => None,
        },
        saved_us: None,
        reasons: Vec::new(),
        error: match ended {
            Some((_, Ending::Failed(error))) => Some(error.clone()),
            _ => None,
        },
    }
}

impl ReportedStep {
    fn add_log(&mut self, step: &LoggedStep) {
        self.key.clone_from(&step.key);
        self.result = match step.outcome {
            Outcome::Source => StepResult::Source,
            Outcome::Cached => StepResult::Cached,
            Outcome::Ran => StepResult::Ran,
            Outcome::Failed => StepResult::Failed,
        };
    }

    fn add_measured(&mut self, worker: &BuildWorker, id: VertexId) {
        let measured = worker.meter.of(id);
        self.queue_us = microseconds(measured.queue);
        self.hash_us = microseconds(measured.hash);
        self.run_us = microseconds(measured.run);
        self.commit_us = microseconds(measured.commit);
        self.digest_us = microseconds(measured.digest);
        self.usage = measured.usage;
        self.saved_us =
            worker.imports.took(id).filter(|_| self.result == StepResult::Cached).map(microseconds);
        self.layer_bytes = layer_bytes(&worker.store, &measured.layers);
    }
}

/// None when there is no layer, or when one is gone already.
fn layer_bytes(store: &Store, layers: &[LayerId]) -> Option<u64> {
    let size = |id| store.layer(id).ok()??.size_bytes().ok();
    let sizes: Option<Vec<u64>> = layers.iter().map(size).collect();
    sizes.filter(|sizes| !sizes.is_empty()).map(|sizes| sizes.iter().sum())
}

fn unix_ns(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}
