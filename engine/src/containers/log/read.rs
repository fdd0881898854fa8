//! Reads what a container has written.

use std::io;
use std::path::Path;

use executor::Stream;
use jiff::Timestamp;

use super::{decode, file_of};
use crate::lines::{Lines, Unread};

/// One line, or a part of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// The text, with its line feed if it has one.
    pub log: String,
    /// Where it was written to.
    pub stream: Stream,
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
    /// Whether they are read on while the container writes. What was not read does not go then, see
    /// [`LogMode`](crate::containers::LogMode).
    pub follow: bool,
}

impl LogOptions {
    fn want(&self, entry: &LogEntry) -> bool {
        let Self { tail: _, since, until, follow: _ } = self;
        if since.is_none() && until.is_none() {
            return true;
        }
        let Ok(time) = entry.time.parse::<Timestamp>() else { return false };
        since.is_none_or(|since| time >= since) && until.is_none_or(|until| time < until)
    }
}

/// Reads the files of a log in their order, and goes on where it was when they have grown.
pub(crate) struct Reader {
    lines: Lines,
    options: LogOptions,
}

impl Reader {
    pub(crate) fn new(directory: &Path, options: &LogOptions) -> io::Result<Self> {
        let unread = if options.follow { Unread::Stays } else { Unread::Goes };
        let mut lines = Lines::new(directory, file_of).with(unread);
        if let Some(tail) = options.tail {
            lines.seek_tail(tail)?;
        }
        Ok(Self { lines, options: *options })
    }

    /// Passes on all entries that are there and were not passed on yet.
    pub(crate) fn read(&mut self, to: &mut dyn FnMut(LogEntry)) -> io::Result<()> {
        let Self { lines, options } = self;
        lines.read(&mut |line| {
            if let Some(entry) = decode::entry(line).filter(|entry| options.want(entry)) {
                to(entry);
            }
        })
    }
}
