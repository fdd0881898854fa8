//! Progress as lines in BuildKit's layout, for logs and pipes.
//!
//! Steps that run at the same time take turns: the output of one stays together for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::{Duration, SystemTime};

use engine::{Event, StepId};

use super::trace::{Ending, Part, Trace};
use crate::output::size_fixed;

/// While a step writes, another one waits this long for its turn.
const TURN: Duration = Duration::from_secs(5);
/// A step with more lines than this does not wait for its turn.
const WAITING_LINES_MAX: usize = 10_000;
/// A measured part is told of again after this much time or this much progress.
const PART_INTERVAL: Duration = Duration::from_secs(5);
const PART_SHARE: f64 = 0.05;
/// Shorter times are not worth a mention.
const TIME_SHOWN_MIN: Duration = Duration::from_millis(10);
/// Lines of a failed step that are repeated at the end.
const FAILURE_LINES_MAX: usize = 10;

/// The state of the output.
#[derive(Debug)]
pub(super) struct Plain {
    pub(super) trace: Trace,
    current: Option<StepId>,
    current_since: Option<SystemTime>,
    /// Steps about which there is something new.
    updated: BTreeSet<StepId>,
    /// Since when a step waits for its turn.
    waiting: BTreeMap<StepId, SystemTime>,
    /// What was last said of a part.
    told: BTreeMap<(StepId, String), Part>,
    has_begun: bool,
    text: String,
}

impl Plain {
    pub(super) fn new() -> Self {
        Self {
            trace: Trace::with_lines(),
            current: None,
            current_since: None,
            updated: BTreeSet::new(),
            waiting: BTreeMap::new(),
            told: BTreeMap::new(),
            has_begun: false,
            text: String::new(),
        }
    }

    pub(super) fn apply(&mut self, event: &Event, now: SystemTime) {
        if let Some(step) = self.trace.apply(event)
            && self.trace.step(step).is_some_and(|state| state.since().is_some())
        {
            self.updated.insert(step);
            self.waiting.entry(step).or_insert(now);
        }
    }

    /// What is to be written now.
    pub(super) fn flush(&mut self, now: SystemTime) -> String {
        self.print_current(now);
        self.print_ended(now);
        self.print_next(now);
        std::mem::take(&mut self.text)
    }

    /// What is to be written at the end.
    pub(super) fn finish(&mut self, now: SystemTime) -> String {
        for step in self.trace.cancel(now) {
            self.updated.insert(step);
        }
        let text = self.flush(now);
        text + &self.trace.failures(FAILURE_LINES_MAX)
    }

    fn print_current(&mut self, now: SystemTime) {
        if let Some(step) = self.current.filter(|step| self.updated.contains(step)) {
            self.print(step, now);
        }
    }

    /// Steps that have ended, in the order of their ends.
    fn print_ended(&mut self, now: SystemTime) {
        let end = |step: &StepId| {
            let state = self.trace.step(*step)?;
            state.ending()?;
            Some((state.since()? + state.elapsed(now), *step))
        };
        let mut ended: Vec<_> = self.updated.iter().filter_map(end).collect();
        ended.sort_unstable();
        for (_, step) in ended {
            self.print(step, now);
        }
    }

    /// Gives the turn to a step that has waited for it, if the current one has had its time.
    fn print_next(&mut self, now: SystemTime) {
        let had_its_turn = |since: SystemTime| now.duration_since(since).is_ok_and(|turn| turn >= TURN);
        let is_full = |step: &StepId| {
            self.trace.step(*step).is_some_and(|state| state.log.fresh_count() > WAITING_LINES_MAX)
        };
        let may_wait = self.current.is_some() && !self.current_since.is_some_and(had_its_turn);
        if may_wait && !self.updated.iter().any(is_full) {
            return;
        }
        let next = self.updated.iter().min_by_key(|step| (self.waiting.get(step), **step)).copied();
        if let Some(step) = next {
            self.print(step, now);
        }
    }

    fn print(&mut self, step: StepId, now: SystemTime) {
        self.updated.remove(&step);
        self.waiting.remove(&step);
        self.switch_to(step, now);
        let Some(state) = self.trace.step_mut(step) else { return };
        let number = state.number;
        let reasons = std::mem::take(&mut state.reasons);
        let parts = state.parts.clone();
        let lines: Vec<_> = state.log.take_fresh().collect();
        let ending = state.ending().cloned();
        let elapsed = state.elapsed(now);
        for reason in reasons {
            self.line(number, &format!("not cached: {reason}"));
        }
        for part in parts {
            self.print_part(step, number, part);
        }
        for line in lines {
            self.line(number, &line);
        }
        match ending {
            None => return,
            Some(Ending::Done) => self.line(number, &format!("DONE {:.1}s", elapsed.as_secs_f64())),
            Some(ending @ Ending::Cached { .. }) => {
                self.line(number, &format!("CACHED ({})", ending.age().unwrap_or_default()));
            }
            Some(Ending::Canceled) => self.line(number, "CANCELED"),
            Some(Ending::Failed(error)) => self.line(number, &format!("ERROR: {error}")),
        }
        self.current = None;
    }

    /// Interrupts the block of one step and begins that of another.
    fn switch_to(&mut self, step: StepId, now: SystemTime) {
        if self.current == Some(step) {
            return;
        }
        if let Some(state) = self.current.and_then(|current| self.trace.step(current)) {
            let number = state.number;
            self.line(number, "...");
        }
        if self.has_begun {
            self.text.push('\n');
        }
        self.has_begun = true;
        let Some(state) = self.trace.step(step) else { return };
        let (number, name) = (state.number, state.step.name.clone());
        self.line(number, &name);
        (self.current, self.current_since) = (Some(step), Some(now));
    }

    fn print_part(&mut self, step: StepId, number: usize, part: Part) {
        let key = (step, part.name.clone());
        if let Some(told) = self.told.get(&key) {
            let share = match part.total {
                Some(total) if total > 0 => part.current.saturating_sub(told.current) as f64 / total as f64,
                _ => 0.0,
            };
            let since = part.updated.duration_since(told.updated).unwrap_or_default();
            let is_news = (part.is_done && !told.is_done) || share >= PART_SHARE || since >= PART_INTERVAL;
            if *told == part || !is_news {
                return;
            }
        }
        let mut text = part.name.clone();
        match part.total {
            Some(total) if total > 0 && !(part.is_done && part.current == total) => {
                let _ = write!(text, " {} / {}", size_fixed(part.current), size_fixed(total));
            }
            _ if part.current > 0 => {
                let _ = write!(text, " {}", size_fixed(part.current));
            }
            _ => {}
        }
        if part.elapsed() > TIME_SHOWN_MIN {
            let _ = write!(text, " {:.1}s", part.elapsed().as_secs_f64());
        }
        if part.is_done {
            text += " done";
        }
        self.line(number, &text);
        self.told.insert(key, part);
    }

    fn line(&mut self, number: usize, text: &str) {
        let _ = writeln!(self.text, "#{number} {text}");
    }
}
