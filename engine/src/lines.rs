//! Lines in numbered files, of which the oldest go when there are too many: read while they are written, by any process.
//!
//! A file never changes its name, and what has a successor is complete. So whoever follows loses nothing for as long as it
//! keeps up. Who *holds* what it has not read need not keep up: it has a lock on the file that it reads, see flock(2), and
//! where the writer heeds that, neither this file goes nor those after it.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;

use crate::scan::line_feed;

/// What the names of the files begin with.
pub(crate) const PREFIX: &str = "log.";
/// Bytes that are read at once.
const READ_BYTES: usize = 256 << 10;

/// Numbers of the files in a directory, in order.
pub(crate) fn numbers(directory: &Path) -> Vec<u32> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut numbers: Vec<u32> = names.filter_map(|name| name.strip_prefix(PREFIX)?.parse().ok()).collect();
    numbers.sort_unstable();
    numbers
}

/// Removes the files up to a number, the oldest first, up to one that somebody holds. How many that are too many stay.
pub(crate) fn remove_unheld(directory: &Path, path_of: fn(&Path, u32) -> PathBuf, last: u32) -> usize {
    if last == 0 {
        return 0;
    }
    let mut surplus = numbers(directory);
    surplus.retain(|number| *number <= last);
    let gone = surplus.iter().take_while(|number| remove(&path_of(directory, **number))).count();
    surplus.len() - gone
}

/// Whether somebody holds one of the files.
pub(crate) fn is_held(directory: &Path, path_of: fn(&Path, u32) -> PathBuf) -> bool {
    numbers(directory).into_iter().any(|number| {
        File::open(path_of(directory, number)).is_ok_and(|file| lock_alone(&file) == Err(Errno::WOULDBLOCK))
    })
}

/// Removes a file unless somebody holds it. Whoever opens it in this moment finds that it has no name any more.
fn remove(path: &Path) -> bool {
    // Somebody else may have removed it.
    let Ok(file) = File::open(path) else { return true };
    if lock_alone(&file) == Err(Errno::WOULDBLOCK) {
        return false;
    }
    // Best effort: the next time does the same.
    let _ = fs::remove_file(path);
    true
}

fn lock_alone(file: &File) -> rustix::io::Result<()> {
    flock(file, FlockOperation::NonBlockingLockExclusive)
}

/// What becomes of files that a reader has not read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Unread {
    /// They go when there are too many.
    #[default]
    Goes,
    /// They are held.
    Stays,
}

/// Reads the files in their order, and goes on where it was when they have grown.
#[derive(Debug)]
pub(crate) struct Lines {
    directory: PathBuf,
    /// Where the file of a number is.
    path_of: fn(&Path, u32) -> PathBuf,
    unread: Unread,
    /// The file that is read, and its number.
    current: Option<(u32, File)>,
    /// The beginning of a line whose end is not there yet.
    rest: Vec<u8>,
    buffer: Vec<u8>,
}

impl Lines {
    /// Begins with the oldest file.
    pub(crate) fn new(directory: &Path, path_of: fn(&Path, u32) -> PathBuf) -> Self {
        let (directory, buffer) = (directory.to_owned(), vec![0; READ_BYTES]);
        Self { directory, path_of, unread: Unread::Goes, current: None, rest: Vec::new(), buffer }
    }

    /// The same, with what is to become of what was not read.
    pub(crate) fn with(self, unread: Unread) -> Self {
        Self { unread, ..self }
    }

    pub(crate) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Goes to the end of what there is.
    pub(crate) fn skip_all(&mut self) {
        let Some(number) = numbers(&self.directory).last().copied() else { return };
        if let Ok(Some(mut file)) = self.open(number)
            && file.seek(SeekFrom::End(0)).is_ok()
        {
            self.current = Some((number, file));
        }
    }

    /// Goes to where so many lines are left.
    pub(crate) fn seek_tail(&mut self, tail: u64) -> io::Result<()> {
        let mut wanted = tail;
        for number in numbers(&self.directory).into_iter().rev() {
            let Some(mut file) = self.open(number)? else { break };
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

    /// Passes on all lines that are there and were not passed on yet, without their line feeds.
    pub(crate) fn read(&mut self, to: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        loop {
            if self.current.is_none() {
                let first = numbers(&self.directory).first().copied();
                let Some(number) = first else { return Ok(()) };
                self.current = self.open(number)?.map(|file| (number, file));
                continue;
            }
            // What has a successor is complete: so first look for that one, and then read to the end.
            let next = self.next_number();
            self.read_file(to)?;
            let Some(number) = next else { return Ok(()) };
            self.rest.clear();
            // What is held goes on to be held until the next one is.
            self.current = self.open(number)?.map(|file| (number, file));
        }
    }

    fn next_number(&self) -> Option<u32> {
        let (number, _) = self.current.as_ref()?;
        let is_there = |number: &u32| (self.path_of)(&self.directory, *number).exists();
        if is_there(&(number + 1)) {
            return Some(number + 1);
        }
        // The next ones may be gone. A list may have a new file and not the one that was made before it, when both came
        // while it was read.
        let newest = *numbers(&self.directory).last()?;
        let next = (number + 1..=newest).find(is_there)?;
        if next > number + 1 {
            tracing::warn!("more is written than can be read: some of it is missing here");
        }
        Some(next)
    }

    fn read_file(&mut self, to: &mut dyn FnMut(&[u8])) -> io::Result<()> {
        let Some((_, file)) = &mut self.current else { return Ok(()) };
        loop {
            let count = file.read(&mut self.buffer)?;
            if count == 0 {
                return Ok(());
            }
            let mut bytes = &self.buffer[..count];
            while let Some(end) = line_feed(bytes) {
                if self.rest.is_empty() {
                    to(&bytes[..end]);
                } else {
                    self.rest.extend_from_slice(&bytes[..end]);
                    to(&self.rest);
                    self.rest.clear();
                }
                bytes = &bytes[end + 1..];
            }
            self.rest.extend_from_slice(bytes);
        }
    }

    fn open(&self, number: u32) -> io::Result<Option<File>> {
        let file = match File::open((self.path_of)(&self.directory, number)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        if self.unread == Unread::Goes {
            return Ok(Some(file));
        }
        // Where there are no locks, it is as if nobody held it. Whoever has the lock of a writer is about to remove it.
        let _ = rustix::io::retry_on_intr(|| flock(&file, FlockOperation::LockShared));
        Ok((file.metadata()?.nlink() > 0).then_some(file))
    }
}
