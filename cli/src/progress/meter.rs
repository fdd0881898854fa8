//! A bar for a job that is not a build: one line on standard error, gone when the job is done.

use std::io::IsTerminal;
use std::sync::Mutex;
use std::time::Instant;

use super::{INTERVAL, terminal_size, tty};
use crate::console::print_error;

/// Shows how far a job is, if standard error is a terminal. Dropping it removes the line.
pub(crate) struct Meter {
    /// When the line may be drawn again; none if nothing is shown at all.
    next: Option<Mutex<State>>,
}

struct State {
    next: Instant,
    is_drawn: bool,
}

impl Meter {
    /// Begins; a job that is done at once is never shown.
    pub(crate) fn new() -> Self {
        let state = || Mutex::new(State { next: Instant::now() + INTERVAL, is_drawn: false });
        Self { next: std::io::stderr().is_terminal().then(state) }
    }

    /// Shows nothing.
    pub(crate) fn silent() -> Self {
        Self { next: None }
    }

    /// The job is at `current` of `total` bytes of a part.
    pub(crate) fn show(&self, part: &str, current: u64, total: Option<u64>) {
        let Some(state) = &self.next else { return };
        let mut state = state.lock().expect("no holder of the lock panics");
        let now = Instant::now();
        if now < state.next {
            return;
        }
        (state.next, state.is_drawn) = (now + INTERVAL, true);
        let columns = terminal_size().columns.saturating_sub(1);
        print_error(&format!("\r{}\x1b[K", tty::measured(part, current, total, columns)));
    }

    /// Removes the line, so that what is printed next stands in its place.
    pub(crate) fn finish(self) {
        drop(self);
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        let state = self.next.as_ref().map(|state| state.lock().expect("no holder of the lock panics"));
        if state.is_some_and(|state| state.is_drawn) {
            print_error("\r\x1b[K");
        }
    }
}
