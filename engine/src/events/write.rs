//! Writes events down, from any number of processes.

use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use rustix::fs::{FlockOperation, flock};

use super::{Event, file_of};
use crate::lines::numbers;

/// Size of a file after which another one is begun: some thousands of events.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Files that are kept.
const FILES_MAX: u32 = 8;
/// How often somebody else may begin a file before we have written.
const ATTEMPTS_MAX: u32 = 64;
/// Mode of the directory: only its owner has a business there.
const PRIVATE: u32 = 0o700;

/// Appends an event. A file is written to under its lock, and only for as long as it is the newest one: what has a successor
/// is complete.
pub(super) fn append(directory: &Path, event: &Event) -> io::Result<()> {
    let mut line = serde_json::to_vec(event)?;
    line.push(b'\n');
    for _ in 0..ATTEMPTS_MAX {
        let number = numbers(directory).last().copied().unwrap_or(1);
        let mut file = open(directory, number)?;
        rustix::io::retry_on_intr(|| flock(file.as_fd(), FlockOperation::LockExclusive))?;
        // It may have a successor since, and may even have been removed.
        if numbers(directory).last() != Some(&number) {
            continue;
        }
        let length = file.metadata()?.len();
        if length >= FILE_BYTES_MAX {
            begin(directory, number + 1)?;
            continue;
        }
        let written = file.write_all(&line);
        if written.is_err() {
            // Half a line would take the next one with it.
            let _ = file.set_len(length);
        }
        return written;
    }
    Err(io::ErrorKind::WouldBlock.into())
}

fn open(directory: &Path, number: u32) -> io::Result<File> {
    let open = || File::options().append(true).create(true).open(file_of(directory, number));
    match open() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            DirBuilder::new().mode(PRIVATE).recursive(true).create(directory)?;
            open()
        }
        opened => opened,
    }
}

/// Begins another file, and removes those that are too many.
fn begin(directory: &Path, number: u32) -> io::Result<()> {
    File::create_new(file_of(directory, number))?;
    for old in numbers(directory).into_iter().filter(|old| old + FILES_MAX <= number) {
        // Somebody else may have removed it.
        let _ = fs::remove_file(file_of(directory, old));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::sync::mpsc;

    use super::super::{EventFilters, EventKind, EventOptions, Events};
    use super::*;

    /// Together more than all files that are kept.
    const WRITERS: usize = 4;
    const EVENTS: usize = 300;
    const FILLER_BYTES: usize = 4000;

    fn event(number: usize) -> Event {
        Event::now(EventKind::Volume, "create", &number.to_string()).with("filler", &"x".repeat(FILLER_BYTES))
    }

    #[test]
    fn nothing_is_lost_while_it_is_followed_and_little_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("events");
        append(&path, &event(0)).unwrap();
        let options = EventOptions { since: None, until: None, filters: EventFilters::default() };
        let mut events = Events::new(&path, options);
        let (sender, receiver) = mpsc::channel();
        std::thread::scope(|scope| {
            for writer in 0..WRITERS {
                let (path, sender) = (&path, sender.clone());
                scope.spawn(move || {
                    for number in 0..EVENTS {
                        append(path, &event(1 + writer * EVENTS + number)).unwrap();
                    }
                    sender.send(()).unwrap();
                });
            }
            let mut found = HashSet::new();
            let mut done = 0;
            while found.len() < WRITERS * EVENTS {
                done += receiver.try_iter().count();
                let is_over = done == WRITERS;
                events.read(&mut |event| assert!(found.insert(event.actor.id))).unwrap();
                assert!(found.len() == WRITERS * EVENTS || !is_over, "only {} events came", found.len());
            }
            assert!(!found.contains("0"), "what was before is not asked for");
        });
        let count = u32::try_from(numbers(&path).len()).unwrap();
        let bytes: u64 =
            fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(count <= FILES_MAX, "{count} files");
        assert!(bytes <= u64::from(FILES_MAX) * (FILE_BYTES_MAX + 2 * FILLER_BYTES as u64), "{bytes} bytes");
    }
}
