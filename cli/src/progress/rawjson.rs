//! Progress as the JSON of BuildKit's `client.SolveStatus`, one object a line.

use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use engine::{Event, StepId, Stream};
use serde::Serialize;

use super::trace::{Ending, Phase, StepState, Trace};
use crate::output::rfc3339_nano;

/// BuildKit's numbers of the standard streams.
const STDOUT: u8 = 1;
const STDERR: u8 = 2;
/// BuildKit's level of a remark that is no error.
const WARNING_LEVEL: u8 = 1;

#[derive(Serialize, Default)]
struct SolveStatus {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    vertexes: Vec<Vertex>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    statuses: Vec<VertexStatus>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logs: Vec<VertexLog>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<VertexWarning>,
}

#[derive(Serialize)]
struct Vertex {
    digest: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    inputs: Vec<String>,
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    started: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    cached: bool,
    #[serde(skip_serializing_if = "String::is_empty")]
    error: String,
}

#[derive(Serialize)]
struct VertexStatus {
    id: String,
    vertex: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
    current: u64,
    timestamp: String,
    started: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    completed: Option<String>,
}

#[derive(Serialize)]
struct VertexLog {
    vertex: String,
    stream: u8,
    data: String,
    timestamp: String,
}

#[derive(Serialize)]
struct VertexWarning {
    level: u8,
    short: String,
    detail: Vec<String>,
}

/// The state of the output.
#[derive(Debug, Default)]
pub(super) struct RawJson {
    pub(super) trace: Trace,
}

impl RawJson {
    /// The lines that tell of an event.
    pub(super) fn apply(&mut self, event: &Event) -> String {
        let step = self.trace.apply(event);
        if let Event::Warned { rule, message, rendered } = event {
            let detail = rendered.lines().map(|line| STANDARD.encode(line)).collect();
            let short = STANDARD.encode(format!("{rule}: {message}"));
            let warnings = vec![VertexWarning { level: WARNING_LEVEL, short, detail }];
            return line(&SolveStatus { warnings, ..SolveStatus::default() });
        }
        let Some(state) = step.and_then(|step| self.trace.step(step)) else { return String::new() };
        let vertex = state.step.digest.to_string();
        let status = match event {
            Event::Output { stream, bytes, at, .. } => {
                let stream = if *stream == Stream::Stdout { STDOUT } else { STDERR };
                let (data, timestamp) = (STANDARD.encode(bytes), rfc3339_nano(*at));
                SolveStatus {
                    logs: vec![VertexLog { vertex, stream, data, timestamp }],
                    ..SolveStatus::default()
                }
            }
            Event::Progressed { part, .. } => {
                let statuses = self.statuses(state, |known| known == part);
                SolveStatus { statuses, ..SolveStatus::default() }
            }
            Event::Explained { at, .. } => {
                let statuses = state.reasons.iter().map(|reason| explained(&vertex, reason, *at)).collect();
                SolveStatus { vertexes: vec![self.vertex(state)], statuses, ..SolveStatus::default() }
            }
            Event::Completed { .. } | Event::Cached { .. } => {
                let statuses = self.statuses(state, |_| true);
                SolveStatus { vertexes: vec![self.vertex(state)], statuses, ..SolveStatus::default() }
            }
            _ => SolveStatus { vertexes: vec![self.vertex(state)], ..SolveStatus::default() },
        };
        line(&status)
    }

    /// The lines that tell that everything else was canceled.
    pub(super) fn finish(&mut self, now: SystemTime) -> String {
        let canceled = self.trace.cancel(now);
        let vertexes: Vec<_> = canceled.iter().filter_map(|step| self.trace.step(*step)).collect();
        if vertexes.is_empty() {
            return String::new();
        }
        let vertexes = vertexes.into_iter().map(|state| self.vertex(state)).collect();
        line(&SolveStatus { vertexes, ..SolveStatus::default() })
    }

    fn vertex(&self, state: &StepState) -> Vertex {
        let digest = |step: &StepId| self.trace.step(*step).map(|state| state.step.digest.to_string());
        let completed = match state.phase {
            Phase::Ended { at, .. } => Some(rfc3339_nano(at)),
            _ => None,
        };
        Vertex {
            digest: state.step.digest.to_string(),
            inputs: state.step.inputs.iter().filter_map(digest).collect(),
            name: state.step.name.clone(),
            started: state.since().map(rfc3339_nano),
            completed,
            cached: matches!(state.ending(), Some(Ending::Cached { .. })),
            error: match state.ending() {
                Some(Ending::Failed(error)) => error.clone(),
                Some(Ending::Canceled) => "context canceled".to_owned(),
                _ => String::new(),
            },
        }
    }

    fn statuses(&self, state: &StepState, is_wanted: impl Fn(&str) -> bool) -> Vec<VertexStatus> {
        let parts = state.parts.iter().filter(|part| is_wanted(&part.name));
        let status = |part: &super::trace::Part| VertexStatus {
            id: part.name.clone(),
            vertex: state.step.digest.to_string(),
            total: part.total,
            current: part.current,
            timestamp: rfc3339_nano(part.updated),
            started: rfc3339_nano(part.since),
            completed: part.is_done.then(|| rfc3339_nano(part.updated)),
        };
        parts.map(status).collect()
    }
}

/// BuildKit has no place for why a step is not cached. As a part of the step every client shows it.
fn explained(vertex: &str, reason: &str, at: SystemTime) -> VertexStatus {
    VertexStatus {
        id: format!("not cached: {reason}"),
        vertex: vertex.to_owned(),
        total: None,
        current: 0,
        timestamp: rfc3339_nano(at),
        started: rfc3339_nano(at),
        completed: Some(rfc3339_nano(at)),
    }
}

fn line(status: &SolveStatus) -> String {
    serde_json::to_string(status).expect("the status has only text as keys") + "\n"
}
