//! The progress of a build in a daemon as that of one here.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use engine::{Event, Progress, Step, StepId, Stream};
use image::Digest;

use crate::proto::control::{StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning};
use crate::proto::system_time;

/// BuildKit's number of standard error.
const STDERR: i64 = 2;
/// Steps of one build.
const STEPS_MAX: usize = 1 << 20;

/// What is known of the steps so far.
pub(super) struct News {
    progress: Progress,
    steps: BTreeMap<String, Known>,
}

struct Known {
    id: StepId,
    has_started: bool,
    has_ended: bool,
}

impl News {
    pub(super) fn new(progress: Progress) -> Self {
        Self { progress, steps: BTreeMap::new() }
    }

    /// Tells what a message says.
    pub(super) fn tell(&mut self, message: StatusResponse) {
        let StatusResponse { vertexes, statuses, logs, warnings } = message;
        vertexes.iter().for_each(|vertex| self.vertex(vertex));
        statuses.into_iter().for_each(|status| self.part(status));
        logs.into_iter().for_each(|log| self.output(log));
        warnings.iter().for_each(|warning| (self.progress)(warned(warning)));
    }

    fn vertex(&mut self, vertex: &Vertex) {
        if !self.steps.contains_key(&vertex.digest) {
            if self.steps.len() >= STEPS_MAX {
                return;
            }
            let id = StepId(u32::try_from(self.steps.len()).expect("there are fewer") + 1);
            let inputs = vertex.inputs.iter().filter_map(|input| Some(self.steps.get(input)?.id)).collect();
            // Nobody but people reads it.
            let digest = vertex.digest.parse().unwrap_or_else(|_| Digest::of(vertex.digest.as_bytes()));
            (self.progress)(Event::Announced(Step { id, name: vertex.name.clone(), digest, inputs }));
            self.steps.insert(vertex.digest.clone(), Known { id, has_started: false, has_ended: false });
        }
        let known = self.steps.get_mut(&vertex.digest).expect("it was added above");
        let step = known.id;
        if let Some(started) = vertex.started.as_ref().filter(|_| !known.has_started) {
            known.has_started = true;
            (self.progress)(Event::Started { step, at: system_time(started) });
        }
        if let Some(completed) = vertex.completed.as_ref().filter(|_| !known.has_ended) {
            known.has_ended = true;
            let at = system_time(completed);
            let error = Some(vertex.error.clone()).filter(|error| !error.is_empty());
            (self.progress)(match vertex.cached {
                // How old it is nobody says.
                true => Event::Cached { step, at, age: Duration::ZERO },
                false => Event::Completed { step, at, error },
            });
        }
    }

    fn part(&self, status: VertexStatus) {
        let Some(known) = self.steps.get(&status.vertex).filter(|known| !known.has_ended) else { return };
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        let part = if status.id.is_empty() { status.name } else { status.id };
        (self.progress)(Event::Progressed {
            step: known.id,
            part,
            current: number(status.current),
            total: Some(number(status.total)).filter(|total| *total > 0),
            at: status.timestamp.as_ref().map_or_else(SystemTime::now, system_time),
        });
    }

    fn output(&self, log: VertexLog) {
        let Some(known) = self.steps.get(&log.vertex) else { return };
        (self.progress)(Event::Output {
            step: known.id,
            stream: if log.stream == STDERR { Stream::Stderr } else { Stream::Stdout },
            bytes: log.msg,
            at: log.timestamp.as_ref().map_or_else(SystemTime::now, system_time),
        });
    }
}

fn warned(warning: &VertexWarning) -> Event {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let short = text(&warning.short);
    let (rule, message) = short.split_once(": ").unwrap_or(("", &short));
    let rendered: Vec<_> = warning.detail.iter().map(|line| text(line)).collect();
    Event::Warned { rule: rule.to_owned(), message: message.to_owned(), rendered: rendered.join("\n") }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::proto::Timestamp;

    #[test]
    fn a_step_is_announced_once_and_ends_once() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = told.clone();
        let mut news = News::new(Arc::new(move |event: Event| {
            let text = match event {
                Event::Announced(step) => format!("announced {} after {:?}", step.name, step.inputs),
                Event::Started { step, .. } => format!("started {}", step.0),
                Event::Cached { step, .. } => format!("cached {}", step.0),
                Event::Completed { step, error, .. } => format!("completed {} {error:?}", step.0),
                Event::Warned { rule, message, .. } => format!("{rule} | {message}"),
                other => format!("{other:?}"),
            };
            sink.lock().unwrap().push(text);
        }));
        let time = Some(Timestamp { seconds: 1, nanos: 0 });
        let one = Vertex { digest: "a".to_owned(), name: "one".to_owned(), ..Vertex::default() };
        let two = Vertex {
            digest: "b".to_owned(),
            name: "two".to_owned(),
            inputs: vec!["a".to_owned()],
            ..one.clone()
        };
        let started = Vertex { started: time, ..two.clone() };
        let failed = Vertex { completed: time, error: "no".to_owned(), ..started.clone() };
        let cached = Vertex { started: time, completed: time, cached: true, ..one.clone() };
        let vertexes = vec![one, two, started.clone(), started, cached, failed.clone(), failed];
        let warning = VertexWarning { short: b"Rule: it is so".to_vec(), ..VertexWarning::default() };
        news.tell(StatusResponse { vertexes, warnings: vec![warning], ..StatusResponse::default() });
        assert_eq!(
            *told.lock().unwrap(),
            [
                "announced one after []",
                "announced two after [StepId(1)]",
                "started 2",
                "started 1",
                "cached 1",
                "completed 2 Some(\"no\")",
                "Rule | it is so"
            ]
        );
    }
}
