//! Keeps what a container writes.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use executor::Stream;
use jiff::Timestamp;

use super::encode::put_entry;
use super::{file_of, numbers};
use crate::containers::settings::LogLimits;
use crate::scan::line_feed;

/// A longer line is several entries, as in Docker.
const ENTRY_BYTES_MAX: usize = 16 << 10;

/// The log of a container, for its monitor.
///
/// A log that cannot be written, on a full disk for example, is no reason to stop a container: what does not fit is lost.
#[derive(Debug)]
pub(crate) struct Writer {
    directory: PathBuf,
    limits: LogLimits,
    file: Option<File>,
    number: u32,
    size_bytes: u64,
    /// Lines that have not ended yet, of standard output and of standard error.
    open: [Vec<u8>; 2],
    /// Entries on their way to the file.
    batch: Vec<u8>,
}

impl Writer {
    /// Goes on after the newest file in a directory.
    pub(crate) fn new(directory: &Path, limits: LogLimits) -> Self {
        let number = numbers(directory).last().copied().unwrap_or(0);
        Self {
            directory: directory.to_owned(),
            limits,
            file: None,
            number,
            size_bytes: 0,
            open: [Vec::new(), Vec::new()],
            batch: Vec::new(),
        }
    }

    /// Adds output.
    pub(crate) fn write(&mut self, stream: Stream, mut bytes: &[u8]) {
        if !self.limits.is_kept {
            return;
        }
        let time = Timestamp::now().to_string();
        while !bytes.is_empty() {
            let open = &mut self.open[stream as usize];
            let room = ENTRY_BYTES_MAX - open.len();
            let window = &bytes[..bytes.len().min(room)];
            let length = line_feed(window).map_or(window.len(), |at| at + 1);
            let (piece, rest) = bytes.split_at(length);
            bytes = rest;
            let is_whole = piece.ends_with(b"\n") || open.len() + length == ENTRY_BYTES_MAX;
            match (is_whole, open.is_empty()) {
                (false, _) => open.extend_from_slice(piece),
                (true, true) => put_entry(&mut self.batch, stream, piece, &time),
                (true, false) => {
                    open.extend_from_slice(piece);
                    put_entry(&mut self.batch, stream, open, &time);
                    open.clear();
                }
            }
            if self.size_bytes + self.batch.len() as u64 >= self.limits.file_bytes_max {
                self.flush();
            }
        }
        self.flush();
    }

    /// Adds lines that have not ended, when nothing will follow.
    pub(crate) fn finish(&mut self) {
        let time = Timestamp::now().to_string();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let open = std::mem::take(&mut self.open[stream as usize]);
            if !open.is_empty() {
                put_entry(&mut self.batch, stream, &open, &time);
            }
        }
        self.flush();
    }

    fn flush(&mut self) {
        if self.batch.is_empty() {
            return;
        }
        if self.file.is_none() || self.size_bytes >= self.limits.file_bytes_max {
            self.open_next();
        }
        if let Some(file) = &mut self.file {
            // A file that cannot be written has lost what comes now; the next may be possible again.
            let _ = file.write_all(&self.batch);
            self.size_bytes += self.batch.len() as u64;
        }
        self.batch.clear();
    }

    /// Opens the newest file, or begins another when that is full.
    fn open_next(&mut self) {
        let is_first = self.file.is_none();
        let size = fs::metadata(file_of(&self.directory, self.number)).map_or(0, |file| file.len());
        if self.number == 0 || !is_first || size >= self.limits.file_bytes_max {
            self.number += 1;
        }
        let path = file_of(&self.directory, self.number);
        self.file = File::options().create(true).append(true).open(path).ok();
        self.size_bytes =
            self.file.as_ref().and_then(|file| file.metadata().ok()).map_or(0, |file| file.len());
        let surplus = self.number.saturating_sub(self.limits.files_max.max(1));
        for number in numbers(&self.directory).into_iter().take_while(|number| *number <= surplus) {
            // Best effort: the next rotation does the same.
            let _ = fs::remove_file(file_of(&self.directory, number));
        }
    }
}
