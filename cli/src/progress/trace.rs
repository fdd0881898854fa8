//! What is known of a build that runs: a pure function of its events.

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, SystemTime};

use engine::{Event, Step, StepId};

use crate::output::age as human_age;

/// Lines of a step's output that are kept to be shown when it fails.
const TAIL_LINES_MAX: usize = 100;
/// A line longer than this is shown in pieces.
const LINE_BYTES_MAX: usize = 64 << 10;

/// All steps of a build.
#[derive(Debug, Default)]
pub(crate) struct Trace {
    steps: BTreeMap<StepId, StepState>,
    /// Steps that have begun, in that order.
    order: Vec<StepId>,
    began: Option<SystemTime>,
    pub(super) warnings: Vec<Warning>,
    keeps_lines: bool,
}

/// A remark about the Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Warning {
    pub(crate) rule: String,
    pub(crate) message: String,
    pub(crate) rendered: String,
}

/// One step.
#[derive(Debug)]
pub(super) struct StepState {
    pub(super) step: Step,
    /// Its number in the output, from 1: the order in which steps begin.
    pub(super) number: usize,
    pub(super) phase: Phase,
    /// Why it is not cached, as far as that was told.
    pub(super) reasons: Vec<String>,
    pub(super) parts: Vec<Part>,
    pub(super) log: Log,
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    Waiting,
    Running { since: SystemTime },
    Ended { since: SystemTime, at: SystemTime, how: Ending },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Ending {
    Done,
    /// Its result was there, and this old.
    Cached {
        age: Duration,
    },
    Canceled,
    Failed(String),
}

/// Something in a step that is measured.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) name: String,
    pub(super) current: u64,
    pub(super) total: Option<u64>,
    pub(super) since: SystemTime,
    pub(super) updated: SystemTime,
    pub(super) is_done: bool,
}

impl Part {
    pub(super) fn elapsed(&self) -> Duration {
        self.updated.duration_since(self.since).unwrap_or_default()
    }
}

impl Ending {
    /// How old a result that was there is, in words.
    pub(super) fn age(&self) -> Option<String> {
        let Self::Cached { age } = self else { return None };
        let words = human_age(*age);
        let mut words = words.chars();
        let first = words.next()?.to_ascii_lowercase();
        Some(format!("{first}{} old", words.as_str()))
    }
}

impl StepState {
    pub(super) fn since(&self) -> Option<SystemTime> {
        match self.phase {
            Phase::Waiting => None,
            Phase::Running { since } | Phase::Ended { since, .. } => Some(since),
        }
    }

    pub(super) fn ending(&self) -> Option<&Ending> {
        match &self.phase {
            Phase::Ended { how, .. } => Some(how),
            _ => None,
        }
    }

    pub(super) fn elapsed(&self, now: SystemTime) -> Duration {
        let end = if let Phase::Ended { at, .. } = self.phase { at } else { now };
        self.since().and_then(|since| end.duration_since(since).ok()).unwrap_or_default()
    }
}

impl Trace {
    /// With every line of every step's output, for somebody who takes them with [`Log::take_fresh`].
    pub(super) fn with_lines() -> Self {
        Self { keeps_lines: true, ..Self::default() }
    }

    /// Takes note of an event; says which step it is about.
    pub(super) fn apply(&mut self, event: &Event) -> Option<StepId> {
        match event {
            Event::Announced(step) => {
                let number = 0;
                let log = Log { fresh: self.keeps_lines.then(VecDeque::new), ..Log::default() };
                let (step, phase) = (step.clone(), Phase::Waiting);
                let id = step.id;
                let (reasons, parts) = (Vec::new(), Vec::new());
                self.steps.insert(id, StepState { step, number, phase, reasons, parts, log });
                Some(id)
            }
            Event::Started { step, at } => self.begin(*step, *at),
            Event::Cached { step, at, age } => self.end(*step, *at, Ending::Cached { age: *age }),
            Event::Explained { step, reasons, at } => {
                self.begin(*step, *at)?;
                self.steps.get_mut(step)?.reasons = reasons.iter().map(ToString::to_string).collect();
                Some(*step)
            }
            Event::Completed { step, at, error: None } => self.end(*step, *at, Ending::Done),
            Event::Completed { step, at, error: Some(error) } => {
                self.end(*step, *at, Ending::Failed(error.clone()))
            }
            Event::Output { step, bytes, at, .. } => {
                self.begin(*step, *at)?;
                let state = self.steps.get_mut(step)?;
                let after = state.elapsed(*at);
                state.log.write(bytes, after);
                Some(*step)
            }
            Event::Progressed { step, part, current, total, at } => {
                self.begin(*step, *at)?;
                let state = self.steps.get_mut(step)?;
                let parts = &mut state.parts;
                let index = parts.iter().position(|known| known.name == *part).unwrap_or_else(|| {
                    let (name, since) = (part.clone(), *at);
                    parts.push(Part { name, current: 0, total: None, since, updated: since, is_done: false });
                    parts.len() - 1
                });
                let known = &mut parts[index];
                (known.current, known.total, known.updated) = (*current, *total, *at);
                known.is_done = *total == Some(*current);
                Some(*step)
            }
            // For files, not for eyes.
            Event::Reported(_) => None,
            Event::Warned { rule, message, rendered } => {
                let warning =
                    Warning { rule: rule.clone(), message: message.clone(), rendered: rendered.clone() };
                if !self.warnings.contains(&warning) {
                    self.warnings.push(warning);
                }
                None
            }
        }
    }

    fn begin(&mut self, id: StepId, at: SystemTime) -> Option<StepId> {
        let state = self.steps.get_mut(&id)?;
        if state.phase == Phase::Waiting {
            self.order.push(id);
            state.number = self.order.len();
            state.phase = Phase::Running { since: at };
            self.began.get_or_insert(at);
        }
        Some(id)
    }

    fn end(&mut self, id: StepId, at: SystemTime, how: Ending) -> Option<StepId> {
        self.begin(id, at)?;
        let state = self.steps.get_mut(&id)?;
        if let Phase::Running { since } = state.phase {
            state.phase = Phase::Ended { since, at, how };
            state.log.close();
            for part in state.parts.iter_mut().filter(|part| !part.is_done) {
                part.is_done = true;
                part.updated = at;
            }
        }
        Some(id)
    }

    /// Whatever still runs will not go on.
    pub(super) fn cancel(&mut self, at: SystemTime) -> Vec<StepId> {
        let running = |state: &&StepState| matches!(state.phase, Phase::Running { .. });
        let ids: Vec<_> = self.steps.values().filter(running).map(|state| state.step.id).collect();
        ids.into_iter().filter_map(|id| self.end(id, at, Ending::Canceled)).collect()
    }

    /// The steps that have begun, in that order.
    pub(super) fn begun(&self) -> impl Iterator<Item = &StepState> {
        self.order.iter().filter_map(|id| self.steps.get(id))
    }

    pub(super) fn step(&self, id: StepId) -> Option<&StepState> {
        self.steps.get(&id)
    }

    pub(super) fn step_mut(&mut self, id: StepId) -> Option<&mut StepState> {
        self.steps.get_mut(&id)
    }

    /// Steps that have ended, and all.
    pub(super) fn counts(&self) -> (usize, usize) {
        (self.steps.values().filter(|state| state.ending().is_some()).count(), self.steps.len())
    }

    /// Whether every step that has begun came to a good end.
    pub(super) fn is_good(&self) -> bool {
        self.begun().all(|state| matches!(state.ending(), Some(Ending::Done | Ending::Cached { .. })))
    }

    /// Since the first step began.
    pub(super) fn elapsed(&self, now: SystemTime) -> Duration {
        self.began.and_then(|began| now.duration_since(began).ok()).unwrap_or_default()
    }

    /// The last output of each step that failed, as BuildKit frames it.
    pub(super) fn failures(&self, lines_max: usize) -> String {
        let mut text = String::new();
        let failed = |state: &&StepState| matches!(state.ending(), Some(Ending::Failed(_)));
        for state in self.begun().filter(failed).filter(|state| !state.log.tail.is_empty()) {
            text += &format!("------\n > {}:\n", state.step.name);
            let skipped = state.log.tail.len().saturating_sub(lines_max);
            for line in state.log.tail.iter().skip(skipped) {
                text += line;
                text.push('\n');
            }
            text += "------\n";
        }
        text
    }
}

/// Output of a step, in lines with the time since the step began.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The last lines.
    tail: VecDeque<String>,
    /// Lines that nobody has taken yet, if somebody is going to.
    fresh: Option<VecDeque<String>>,
    partial: Vec<u8>,
    partial_after: Duration,
}

impl Log {
    fn write(&mut self, mut bytes: &[u8], after: Duration) {
        while !bytes.is_empty() {
            if self.partial.is_empty() {
                self.partial_after = after;
            }
            let room = LINE_BYTES_MAX - self.partial.len();
            let end = bytes.iter().take(room).position(|byte| *byte == b'\n');
            self.partial.extend_from_slice(&bytes[..end.unwrap_or(bytes.len().min(room))]);
            bytes = &bytes[end.map_or(bytes.len().min(room), |end| end + 1)..];
            if end.is_some() || self.partial.len() == LINE_BYTES_MAX {
                self.finish_line();
            }
        }
    }

    fn finish_line(&mut self) {
        let text = String::from_utf8_lossy(&self.partial);
        let seconds = self.partial_after.as_secs_f64();
        let decimals = if seconds < 10.0 {
            3
        } else if seconds < 100.0 {
            2
        } else {
            1
        };
        let line = format!("{seconds:.decimals$} {}", text.strip_suffix('\r').unwrap_or(&text));
        self.partial.clear();
        if self.tail.len() == TAIL_LINES_MAX {
            self.tail.pop_front();
        }
        if let Some(fresh) = &mut self.fresh {
            fresh.push_back(line.clone());
        }
        self.tail.push_back(line);
    }

    /// No more output: the last line need not have an end.
    fn close(&mut self) {
        if !self.partial.is_empty() {
            self.finish_line();
        }
    }

    /// The lines since the last call.
    pub(super) fn take_fresh(&mut self) -> impl Iterator<Item = String> {
        self.fresh.as_mut().map(std::mem::take).unwrap_or_default().into_iter()
    }

    /// How many lines nobody has taken.
    pub(super) fn fresh_count(&self) -> usize {
        self.fresh.as_ref().map_or(0, VecDeque::len)
    }
}
