//! Reads what a container has written.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Deserialize;

use super::{file_of, numbers};

/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// One line, or a part of a long one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct LogEntry {
    /// The text, with its line feed if it has one.
    pub log: String,
    /// `stdout` or `stderr`.
    pub stream: String,
    /// When it was written, RFC 3339.
    pub time: String,
}

/// Which entries are wanted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogOptions {
    /// Only the last ones.
    pub tail: Option<u64>,
    /// Only from this time on.
    pub since: Option<Timestamp>,
    /// Only before this time.
    pub until: Option<Timestamp>,
}

/// Reads the files of a log in their order, and goes on where it was when they have grown.
pub(crate) struct Reader {
    directory: PathBuf,
    options: LogOptions,
    /// The file that is read, and its number.
    current: Option<(u32, File)>,
    /// The beginning of an entry whose end is not there yet.
    rest: Vec<u8>,
}

impl Reader {
    pub(crate) fn new(directory: &Path, options: &LogOptions) -> io::Result<Self> {
        let mut reader =
            Self { directory: directory.to_owned(), options: *options, current: None, rest: Vec::new() };
        if let Some(tail) = options.tail {
            reader.seek_tail(tail)?;
        }
        Ok(reader)
    }

    /// Goes to where `tail` entries are left.
    fn seek_tail(&mut self, tail: u64) -> io::Result<()> {
        let mut wanted = tail;
        for number in numbers(&self.directory).into_iter().rev() {
            let Some(mut file) = open(&self.directory, number)? else { break };
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            let ends: Vec<usize> =
                bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1).collect();
            let count = ends.len() as u64;
            if count >= wanted {
                let skipped = usize::try_from(count - wanted).unwrap_or(usize::MAX);
                let start = skipped.checked_sub(1).map_or(0, |last| ends[last]);
                file.seek(SeekFrom::Start(start as u64))?;
                self.current = Some((number, file));
                return Ok(());
            }
            wanted -= count;
        }
        Ok(())
    }

    /// Passes on all entries that are there and were not passed on yet.
    pub(crate) fn read(&mut self, to: &mut dyn FnMut(LogEntry)) -> io::Result<()> {
        loop {
            if self.current.is_none() {
                let first = numbers(&self.directory).first().copied();
                let Some(number) = first else { return Ok(()) };
                self.current = open(&self.directory, number)?.map(|file| (number, file));
                continue;
            }
            // What has a successor is complete: so first look for that one, and then read to the end.
            let next = self.next_number();
            self.read_file(to)?;
            match next {
                Some(number) => {
                    self.rest.clear();
                    self.current = open(&self.directory, number)?.map(|file| (number, file));
                }
                None => return Ok(()),
            }
        }
    }

    fn next_number(&self) -> Option<u32> {
        let (number, _) = self.current.as_ref()?;
        let is_there = |number: &u32| file_of(&self.directory, *number).exists();
        if is_there(&(number + 1)) {
            return Some(number + 1);
        }
        // The next ones may be gone. A list may have a new file and not the one that was made before it, when both came
        // while it was read.
        let newest = *numbers(&self.directory).last()?;
        (number + 1..=newest).find(is_there)
    }

    fn read_file(&mut self, to: &mut dyn FnMut(LogEntry)) -> io::Result<()> {
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
            for line in lines.split(|byte| *byte == b'\n') {
                self.pass_on(line, to);
            }
        }
    }

    /// A line that is no entry was cut when the machine went down.
    fn pass_on(&self, line: &[u8], to: &mut dyn FnMut(LogEntry)) {
        let Ok(entry) = serde_json::from_slice::<LogEntry>(line) else { return };
        let LogOptions { tail: _, since, until } = self.options;
        if since.is_some() || until.is_some() {
            let Ok(time) = entry.time.parse::<Timestamp>() else { return };
            if since.is_some_and(|since| time < since) || until.is_some_and(|until| time >= until) {
                return;
            }
        }
        to(entry);
    }
}

fn open(directory: &Path, number: u32) -> io::Result<Option<File>> {
    match File::open(file_of(directory, number)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        opened => opened.map(Some),
    }
}
