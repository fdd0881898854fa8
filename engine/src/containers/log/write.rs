//! Keeps what a container writes.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

use executor::Stream;
use jiff::Timestamp;

use super::encode::{ending, put_entry, put_line};
use super::{LogLimits, LogMode, file_of, numbers};
use crate::lines::remove_unheld;
use crate::scan::line_feed;

/// A longer line is several entries, as in Docker.
const ENTRY_BYTES_MAX: usize = 16 << 10;
/// What is written to the file at once is about so much: an entry of an empty line is eighty times as long as the line.
const BATCH_BYTES: usize = 256 << 10;

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

    /// Whether there is room for more. There is none for as long as those who follow have so much to read that too much
    /// would be kept, unless they may lose it.
    pub(crate) fn has_room(&mut self) -> bool {
        if self.size_bytes < self.limits.file_bytes_max || self.limits.mode == LogMode::NonBlocking {
            return true;
        }
        let next = self.number + 1;
        remove_unheld(&self.directory, file_of, next.saturating_sub(self.files_max())) <= self.held_max()
    }

    /// Adds output.
    pub(crate) fn write(&mut self, stream: Stream, mut bytes: &[u8]) {
        if !self.limits.is_kept {
            return;
        }
        let ending = ending(stream, &Timestamp::now().to_string());
        let end = bytes.len();
        let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
        while !bytes.is_empty() {
            let open = &mut self.open[stream as usize];
            let window = &bytes[..bytes.len().min(ENTRY_BYTES_MAX - open.len())];
            // What of the window is valid.
            let valid = valid.saturating_sub(end - bytes.len());
            let whole = open.is_empty().then(|| put_line(&mut self.batch, window, valid, &ending)).flatten();
            let length = whole.unwrap_or_else(|| put_piece(&mut self.batch, open, window, &ending));
            bytes = &bytes[length..];
            let is_full = self.size_bytes + self.batch.len() as u64 >= self.limits.file_bytes_max;
            if is_full || self.batch.len() >= BATCH_BYTES {
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
                put_entry(&mut self.batch, &open, &ending(stream, &time));
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
        self.remove_surplus();
    }

    fn remove_surplus(&self) {
        let last = self.number.saturating_sub(self.files_max());
        let held = remove_unheld(&self.directory, file_of, last);
        if self.limits.mode == LogMode::NonBlocking {
            let lost = held.saturating_sub(self.held_max());
            for number in numbers(&self.directory).into_iter().take(lost) {
                // Best effort: the next rotation does the same.
                let _ = fs::remove_file(file_of(&self.directory, number));
            }
        }
    }

    fn files_max(&self) -> u32 {
        self.limits.files_max.max(1)
    }

    /// How many files more there may be for those who have not read them: as many again.
    fn held_max(&self) -> usize {
        self.files_max() as usize
    }
}

/// Adds the entry of a line that begins in `open` or is too long, or opens one. The length of what was taken.
fn put_piece(batch: &mut Vec<u8>, open: &mut Vec<u8>, window: &[u8], ending: &[u8]) -> usize {
    let length = line_feed(window).map_or(window.len(), |at| at + 1);
    open.extend_from_slice(&window[..length]);
    if open.ends_with(b"\n") || open.len() == ENTRY_BYTES_MAX {
        put_entry(batch, open, ending);
        open.clear();
    }
    length
}
