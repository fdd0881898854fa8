//! What a container has written: files in Docker's format `json-file`, of which the oldest goes when there are too many.
//!
//! `log.000001`, `log.000002` and so on. A file never changes its name, so whoever reads one finds its successor by
//! adding one.

mod decode;
mod encode;
mod limits;
mod read;
mod write;

use std::path::{Path, PathBuf};

use crate::lines::PREFIX;
pub(crate) use crate::lines::numbers;
pub use limits::{LogLimits, LogMode};
pub(crate) use read::Reader;
pub use read::{LogEntry, LogOptions};
pub(crate) use write::Writer;

/// The file of this number.
pub(crate) fn file_of(directory: &Path, number: u32) -> PathBuf {
    directory.join(format!("{PREFIX}{number:06}"))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use executor::Stream;

    use super::*;

    fn written(limits: LogLimits, pieces: &[(Stream, &[u8])]) -> (tempfile::TempDir, Vec<String>) {
        let directory = tempfile::tempdir().unwrap();
        let mut writer = Writer::new(directory.path(), limits);
        for (stream, bytes) in pieces {
            writer.write(*stream, bytes);
        }
        writer.finish();
        let texts = read_all(directory.path(), &LogOptions::default());
        (directory, texts)
    }

    fn name(stream: Stream) -> &'static str {
        match stream {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }

    fn read_all(directory: &Path, options: &LogOptions) -> Vec<String> {
        let mut texts = Vec::new();
        let mut reader = Reader::new(directory, options).unwrap();
        reader.read(&mut |entry| texts.push(format!("{} {:?}", name(entry.stream), entry.log))).unwrap();
        texts
    }

    #[test]
    fn lines_are_entries_however_they_come() {
        let (_directory, texts) = written(
            LogLimits::default(),
            &[
                (Stream::Stdout, b"one\ntw"),
                (Stream::Stderr, b"error\n"),
                (Stream::Stdout, b"o \"quoted\" \\ \x1b[0m \xff\xc3\xa9\n"),
                (Stream::Stdout, b"no end"),
            ],
        );
        insta::assert_snapshot!(texts.join("\n"), @r#"
        stdout "one\n"
        stderr "error\n"
        stdout "two \"quoted\" \\ \u{1b}[0m �é\n"
        stdout "no end"
        "#);
    }

    #[test]
    fn long_lines_are_several_entries() {
        let line = [b'x'; 40_000];
        let (_directory, texts) =
            written(LogLimits::default(), &[(Stream::Stdout, &line), (Stream::Stdout, b"\n")]);
        let lengths: Vec<usize> = texts.iter().map(|text| text.matches('x').count()).collect();
        assert_eq!(lengths, [16_384, 16_384, 7_232]);
    }

    #[test]
    fn the_oldest_goes_when_there_is_too_much() {
        let limits = LogLimits { file_bytes_max: 1000, files_max: 3, ..LogLimits::default() };
        let lines: Vec<String> = (0..100).map(|number| format!("line {number}\n")).collect();
        let pieces: Vec<_> = lines.iter().map(|line| (Stream::Stdout, line.as_bytes())).collect();
        let (directory, texts) = written(limits, &pieces);
        let numbers = numbers(directory.path());
        assert_eq!(numbers.len(), 3);
        assert!(numbers[0] > 1);
        assert_eq!(texts.last().unwrap(), "stdout \"line 99\\n\"");
        let sizes =
            numbers.iter().map(|number| fs::metadata(file_of(directory.path(), *number)).unwrap().len());
        assert!(sizes.max().unwrap() < 1100);
        let tail = LogOptions { tail: Some(2), ..LogOptions::default() };
        assert_eq!(read_all(directory.path(), &tail), ["stdout \"line 98\\n\"", "stdout \"line 99\\n\""]);
        let tail = LogOptions { tail: Some(0), ..LogOptions::default() };
        assert!(read_all(directory.path(), &tail).is_empty());
    }

    #[test]
    fn a_reader_goes_on_where_it_was() {
        let directory = tempfile::tempdir().unwrap();
        let limits = LogLimits { file_bytes_max: 500, files_max: 100, ..LogLimits::default() };
        let mut writer = Writer::new(directory.path(), limits);
        let mut reader = Reader::new(directory.path(), &LogOptions::default()).unwrap();
        let mut seen = Vec::new();
        for number in 0..50 {
            writer.write(Stream::Stdout, format!("{number}\n").as_bytes());
            if number % 7 == 0 {
                reader.read(&mut |entry| seen.push(entry.log.trim().to_owned())).unwrap();
            }
        }
        writer.finish();
        reader.read(&mut |entry| seen.push(entry.log.trim().to_owned())).unwrap();
        let expected: Vec<String> = (0..50).map(|number| number.to_string()).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn a_reader_misses_no_file_that_is_made_while_it_looks() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().to_owned();
        let limits = LogLimits { file_bytes_max: 100, files_max: 100_000, ..LogLimits::default() };
        let count = 5_000;
        let writer = std::thread::spawn(move || {
            let mut writer = Writer::new(&path, limits);
            (0..count).for_each(|number| writer.write(Stream::Stdout, format!("{number}\n").as_bytes()));
        });
        let mut reader = Reader::new(directory.path(), &LogOptions::default()).unwrap();
        let mut next = 0;
        while next < count {
            let mut check = |entry: LogEntry| {
                assert_eq!(entry.log.trim().parse(), Ok(next));
                next += 1;
            };
            reader.read(&mut check).unwrap();
        }
        writer.join().unwrap();
    }

    /// A container that writes whenever it may, and a reader that reads only when it may not.
    fn followed_by_a_slow_reader(mode: LogMode, count: usize) -> (Vec<usize>, usize) {
        let directory = tempfile::tempdir().unwrap();
        let limits = LogLimits { file_bytes_max: 500, files_max: 3, mode, ..LogLimits::default() };
        let mut writer = Writer::new(directory.path(), limits);
        writer.write(Stream::Stdout, b"0\n");
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let mut reader = Reader::new(directory.path(), &options).unwrap();
        let (mut seen, mut most) = (Vec::new(), 0);
        let mut read = || reader.read(&mut |entry| seen.push(entry.log.trim().parse().unwrap())).unwrap();
        read();
        for number in 1..count {
            if !writer.has_room() {
                read();
                assert!(writer.has_room());
            }
            writer.write(Stream::Stdout, format!("{number}\n").as_bytes());
            most = most.max(numbers(directory.path()).len());
        }
        read();
        drop(reader);
        (0..20).for_each(|_| writer.write(Stream::Stdout, b"more\n"));
        assert_eq!(numbers(directory.path()).len(), 3, "what nobody reads goes");
        (seen, most)
    }

    #[test]
    fn a_slow_reader_that_follows_loses_nothing_and_holds_so_much() {
        let (seen, most) = followed_by_a_slow_reader(LogMode::Blocking, 1000);
        assert_eq!(seen, (0..1000).collect::<Vec<_>>());
        assert_eq!(most, 6);
    }

    #[test]
    fn a_container_that_does_not_wait_loses_the_oldest() {
        let (seen, most) = followed_by_a_slow_reader(LogMode::NonBlocking, 1000);
        assert!(seen.len() < 100 && seen.is_sorted(), "{seen:?}");
        assert_eq!((seen[0], seen.last()), (0, Some(&999)));
        assert_eq!(most, 6);
    }

    #[test]
    fn lines_are_whole_wherever_what_is_read_at_once_ends() {
        let text = "plain\nwith \"marks\" and é\n\u{1f980}\r\n\n".repeat(3);
        let expected: Vec<String> =
            text.split_inclusive('\n').map(|line| format!("stdout {line:?}")).collect();
        for at in 0..text.len() {
            let (first, second) = text.as_bytes().split_at(at);
            let pieces = [(Stream::Stdout, first), (Stream::Stdout, second)];
            assert_eq!(written(LogLimits::default(), &pieces).1, expected, "{at}");
        }
    }

    #[test]
    fn what_is_no_entry_is_passed_over() {
        let directory = tempfile::tempdir().unwrap();
        let entry = "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"time\":\"2026-01-01T00:00:00Z\"}\n";
        fs::write(file_of(directory.path(), 1), format!("half of a\n{entry}{{\"log\":\"no end")).unwrap();
        assert_eq!(read_all(directory.path(), &LogOptions::default()), ["stdout \"x\\n\""]);
    }
}
