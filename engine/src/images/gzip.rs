//! Gzip on all cores: the same bytes on any number of them.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use libdeflater::{CompressionLvl, Compressor};

/// Names the bytes that come out: compressor, level and size of a member. Whoever keeps them keeps them under
/// this name, since another version of the compressor gives other bytes.
pub(crate) fn scheme(level: i32) -> String {
    format!("libdeflate-1.26/{level}/1MiB")
}

/// Twice the speed of zlib's level 6, and denser.
pub(crate) const LEVEL: i32 = 4;
/// The highest level of libdeflate.
const LEVEL_MAX: i32 = 12;
/// Compressed on its own as one gzip member. Larger ones gain less than a thousandth.
const MEMBER_BYTES: usize = 1 << 20;
/// Faster than any disk or network behind it, and bounds the memory: four members for each thread.
const THREADS_MAX: usize = 16;

/// Compresses what is written to it, member by member, on several threads.
///
/// Readers see one gzip stream, RFC 1952, section 2.2. Call [`GzipWriter::finish`]: dropping throws away what
/// is not yet written.
pub(crate) struct GzipWriter<W: Write> {
    /// None once finished.
    to: Option<W>,
    member: Vec<u8>,
    members: u64,
    jobs: Option<SyncSender<Job>>,
    /// Results in the order of the members.
    pending: VecDeque<Receiver<Vec<u8>>>,
    threads: Vec<JoinHandle<()>>,
}

struct Job {
    bytes: Vec<u8>,
    result: Sender<Vec<u8>>,
}

impl<W: Write> GzipWriter<W> {
    /// Starts as many threads as there are cores.
    pub(crate) fn new(to: W, level: i32) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self::with_threads(to, cores.min(THREADS_MAX), level)
    }

    pub(super) fn with_threads(to: W, threads: usize, level: i32) -> Self {
        let (jobs, receiver) = sync_channel(threads);
        let receiver = Arc::new(Mutex::new(receiver));
        let start = |_| {
            let receiver = Arc::clone(&receiver);
            std::thread::spawn(move || work(&receiver, level))
        };
        Self {
            to: Some(to),
            member: Vec::with_capacity(MEMBER_BYTES),
            members: 0,
            jobs: Some(jobs),
            pending: VecDeque::new(),
            threads: (0..threads).map(start).collect(),
        }
    }

    /// Writes what is left, and gives the destination back; an empty stream is one empty member.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        if !self.member.is_empty() || self.members == 0 {
            self.submit();
        }
        while !self.pending.is_empty() {
            self.write_oldest()?;
        }
        let mut to = self.to.take().expect("finishing happens once");
        to.flush()?;
        Ok(to)
    }

    fn submit(&mut self) {
        let (result, receiver) = channel();
        let bytes = std::mem::replace(&mut self.member, Vec::with_capacity(MEMBER_BYTES));
        let jobs = self.jobs.as_ref().expect("only dropping closes the queue");
        jobs.send(Job { bytes, result }).expect("the threads live as long as the queue");
        self.pending.push_back(receiver);
        self.members += 1;
    }

    fn write_oldest(&mut self) -> io::Result<()> {
        let Some(oldest) = self.pending.pop_front() else { return Ok(()) };
        let member = oldest.recv().expect("every job is answered");
        self.to.as_mut().expect("it is there until the end").write_all(&member)
    }
}

impl<W: Write> Write for GzipWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = bytes.len().min(MEMBER_BYTES - self.member.len());
        self.member.extend_from_slice(&bytes[..count]);
        if self.member.len() == MEMBER_BYTES {
            self.submit();
            if self.pending.len() > 2 * self.threads.len() {
                self.write_oldest()?;
            }
        }
        Ok(count)
    }

    /// Does nothing: a member ends where its size says, so that the bytes do not depend on who flushes when.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<W: Write> Drop for GzipWriter<W> {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic there was already seen as a missing result.
            let _ = thread.join();
        }
    }
}

fn work(jobs: &Mutex<Receiver<Job>>, level: i32) {
    let level = CompressionLvl::new(level.clamp(0, LEVEL_MAX)).expect("libdeflate has this level");
    let mut compressor = Compressor::new(level);
    loop {
        let job = jobs.lock().expect("no thread panics while it waits").recv();
        let Ok(Job { bytes, result }) = job else { return };
        let mut member = vec![0; compressor.gzip_compress_bound(bytes.len())];
        let count = compressor.gzip_compress(&bytes, &mut member).expect("the bound is large enough");
        member.truncate(count);
        // Nobody waits any more when the writer was dropped.
        let _ = result.send(member);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;

    fn compress(bytes: &[u8], threads: usize) -> Vec<u8> {
        let mut to = Vec::new();
        let mut writer = GzipWriter::with_threads(&mut to, threads, LEVEL);
        writer.write_all(bytes).expect("a vector takes everything");
        writer.finish().expect("a vector takes everything");
        to
    }

    #[test]
    fn the_number_of_threads_changes_nothing() {
        let mut noise = 1_u32;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (noise >> 29) as u8
        })
        .take(7 * MEMBER_BYTES + 3)
        .collect();
        for length in [0, 1, MEMBER_BYTES - 1, MEMBER_BYTES, MEMBER_BYTES + 1, bytes.len()] {
            let one = compress(&bytes[..length], 1);
            assert_eq!(compress(&bytes[..length], 2), one);
            assert_eq!(compress(&bytes[..length], 5), one);
            let mut back = Vec::new();
            flate2::read::MultiGzDecoder::new(&one[..]).read_to_end(&mut back).expect("gzip");
            assert!(back == bytes[..length], "{length} bytes came back as others");
        }
    }

    #[test]
    fn a_writer_that_fails_stops_the_threads() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut writer = GzipWriter::with_threads(Full, 2, LEVEL);
        let error = writer.write_all(&vec![0; 20 * MEMBER_BYTES]).expect_err("the disk is full");
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
    }
}
