//! Reads events, those that were and those that come.

use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::filter::EventFilters;
use super::{Event, file_of};
use crate::containers::Watch;
use crate::lines::Lines;

/// Which events are wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventOptions {
    /// From this time on. With neither this nor an end, only what comes.
    pub since: Option<Timestamp>,
    /// Until this time.
    pub until: Option<Timestamp>,
    /// Those that pass.
    pub filters: EventFilters,
}

impl EventOptions {
    fn want(&self, event: &Event) -> bool {
        let Self { since, until, filters } = self;
        let at = i128::from(event.time_nano);
        since.is_none_or(|since| at >= since.as_nanosecond())
            && until.is_none_or(|until| at <= until.as_nanosecond())
            && filters.pass(event)
    }
}

/// Events of a store, in the order in which they were written.
#[derive(Debug)]
pub struct Events {
    lines: Lines,
    options: EventOptions,
}

impl Events {
    /// Begins with what was asked for: from here on nothing is missed.
    pub(super) fn new(directory: &Path, options: EventOptions) -> Self {
        let mut lines = Lines::new(directory, file_of);
        if options.since.is_none() && options.until.is_none() {
            lines.skip_all();
        }
        Self { lines, options }
    }

    /// Something to wait with. Made before the events are read, it misses nothing.
    pub fn watch(&self) -> Watch {
        // A store in which nothing has happened yet has no directory to watch.
        let _ = std::fs::create_dir_all(self.lines.directory());
        Watch::new(self.lines.directory())
    }

    /// Passes on all events that are there and were not passed on yet.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub fn read(&mut self, to: &mut dyn FnMut(Event)) -> io::Result<()> {
        let Self { lines, options } = self;
        lines.read(&mut |line| {
            // A line that is no event was cut when the machine went down.
            if let Ok(event) = serde_json::from_slice::<Event>(line)
                && options.want(&event)
            {
                to(event);
            }
        })
    }
}
