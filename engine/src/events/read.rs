//! Reads events, those that were and those that come.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

use jiff::Timestamp;

use super::filter::EventFilters;
use super::{Event, file_of, numbers};
use crate::containers::Watch;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 << 10;

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

/// Events of a store, in the order in which they were written.
#[derive(Debug)]
pub struct Events {
    directory: PathBuf,
    options: EventOptions,
    /// The file that is read, and its number.
    current: Option<(u32, File)>,
    /// The beginning of an event whose end is not there yet.
    rest: Vec<u8>,
}

impl Events {
    /// Begins with what was asked for: from here on nothing is missed.
    pub(super) fn new(directory: PathBuf, options: EventOptions) -> Self {
        let mut events = Self { directory, options, current: None, rest: Vec::new() };
        if events.options.since.is_none() && events.options.until.is_none() {
            events.skip();
        }
        events
    }

    /// Goes to the end of what there is.
    fn skip(&mut self) {
        let Some(number) = numbers(&self.directory).last().copied() else { return };
        if let Ok(mut file) = File::open(file_of(&self.directory, number))
            && file.seek(SeekFrom::End(0)).is_ok()
        {
            self.current = Some((number, file));
        }
    }

    /// Something to wait with. Made before the events are read, it misses nothing.
    pub fn watch(&self) -> Watch {
        // A store in which nothing has happened yet has no directory to watch.
        let _ = std::fs::create_dir_all(&self.directory);
        Watch::new(&self.directory)
    }

    /// Passes on all events that are there and were not passed on yet.
    ///
    /// # Errors
    ///
    /// When they cannot be read.
    pub fn read(&mut self, to: &mut dyn FnMut(Event)) -> io::Result<()> {
        loop {
            if self.current.is_none() {
                let Some(number) = numbers(&self.directory).first().copied() else { return Ok(()) };
                self.current = open(&self.directory, number)?;
                continue;
            }
            // What has a successor is complete: so first look for that one, and then read to the end.
            let next = self.next_number();
            self.read_file(to)?;
            match next {
                Some(number) => {
                    self.rest.clear();
                    self.current = open(&self.directory, number)?;
                }
                None => return Ok(()),
            }
        }
    }

    fn next_number(&self) -> Option<u32> {
        let (number, _) = self.current.as_ref()?;
        if file_of(&self.directory, number + 1).exists() {
            return Some(number + 1);
        }
        let next = numbers(&self.directory).into_iter().find(|other| other > number)?;
        if next > number + 1 {
            tracing::warn!("more happens than can be read: events are missing here");
        }
        Some(next)
    }

    fn read_file(&mut self, to: &mut dyn FnMut(Event)) -> io::Result<()> {
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let Some((_, file)) = &mut self.current else { return Ok(()) };
            let count = file.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.rest.extend_from_slice(&buffer[..count]);
            let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else { continue };
            let lines: Vec<u8> = self.rest.drain(..=end).collect();
            lines.split(|byte| *byte == b'\n').for_each(|line| self.pass_on(line, to));
        }
    }

    /// A line that is no event was cut when the machine went down.
    fn pass_on(&self, line: &[u8], to: &mut dyn FnMut(Event)) {
        let Ok(event) = serde_json::from_slice::<Event>(line) else { return };
        let at = i128::from(event.time_nano);
        let EventOptions { since, until, filters } = &self.options;
        let is_late = since.is_none_or(|since| at >= since.as_nanosecond());
        let is_early = until.is_none_or(|until| at <= until.as_nanosecond());
        if is_late && is_early && filters.pass(&event) {
            to(event);
        }
    }
}

fn open(directory: &std::path::Path, number: u32) -> io::Result<Option<(u32, File)>> {
    match File::open(file_of(directory, number)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(|file| Some((number, file))),
    }
}
