//! A layer as one file, for layers of many small files that nobody looks into.
//!
//! ```text
//! kind      "pack", version u32
//! chunks    length u32, checksum u64 (XXH3-64), entries
//! end       length 0, checksum u64 (XXH3-64 of all checksums)
//!
//! entry     tag u8, mode u32, uid u32, gid u32, seconds i64, nanoseconds u32, extended attributes, path, content
//! ```
//!
//! All numbers are little endian; names and contents are preceded by their length as u32. Entries come in the order of the
//! layer's tar. Unlike a tar it keeps nanoseconds, so that a directory made from it is the one that would have been made
//! in its place. Nothing is looked at before its checksum.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;

use xxhash_rust::xxh3::{Xxh3, xxh3_64};

use super::attributes::{Attributes, Timestamp, Xattr};
use super::walk::{Batch, BatchSink, Found, FoundKind};
use super::write::WriteError;

const HEAD: [u8; 8] = *b"pack\x01\0\0\0";
/// The largest file of a packed layer: it is in memory as a whole.
pub(crate) const FILE_BYTES_MAX: usize = 4 << 20;
/// The largest chunk: as many bytes as one is filled with, a file that does not fit any more, and names.
pub(crate) const CHUNK_BYTES_MAX: usize = 16 << 20;
/// Length and checksum.
const FRAME_BYTES: usize = 12;

const DIRECTORY: u8 = 1;
const OPAQUE_DIRECTORY: u8 = 2;
const FILE: u8 = 3;
const HARD_LINK: u8 = 4;
const SYMLINK: u8 = 5;
const FIFO: u8 = 6;

/// Content of an entry that can be packed.
pub(crate) enum PackedKind<'a> {
    Directory { is_opaque: bool },
    File(&'a [u8]),
    HardLink(&'a [u8]),
    Symlink(&'a [u8]),
    Fifo,
}

/// Writes one entry.
pub(crate) fn put(to: &mut Vec<u8>, path: &[u8], attributes: &Attributes, kind: &PackedKind<'_>) {
    let (tag, content): (u8, Option<&[u8]>) = match kind {
        PackedKind::Directory { is_opaque: false } => (DIRECTORY, None),
        PackedKind::Directory { is_opaque: true } => (OPAQUE_DIRECTORY, None),
        PackedKind::File(bytes) => (FILE, Some(bytes)),
        PackedKind::HardLink(first) => (HARD_LINK, Some(first)),
        PackedKind::Symlink(target) => (SYMLINK, Some(target)),
        PackedKind::Fifo => (FIFO, None),
    };
    let Attributes { uid, gid, mode, mtime, xattrs } = attributes;
    let mtime = mtime.unwrap_or_default();
    to.push(tag);
    for number in [*mode, *uid, *gid] {
        to.extend_from_slice(&number.to_le_bytes());
    }
    to.extend_from_slice(&mtime.seconds.to_le_bytes());
    to.extend_from_slice(&mtime.nanoseconds.to_le_bytes());
    to.extend_from_slice(&length(xattrs.len()));
    for bytes in xattrs.iter().flat_map(|(name, value)| [name, value]) {
        put_bytes(to, bytes);
    }
    put_bytes(to, path);
    if let Some(content) = content {
        put_bytes(to, content);
    }
}

fn put_bytes(to: &mut Vec<u8>, bytes: &[u8]) {
    to.extend_from_slice(&length(bytes.len()));
    to.extend_from_slice(bytes);
}

fn length(count: usize) -> [u8; 4] {
    u32::try_from(count).expect("files of packed layers are small").to_le_bytes()
}

/// Frames the chunks of a packed layer.
pub(crate) struct Framing(Xxh3);

impl Framing {
    /// The framing, and what the file begins with.
    pub(crate) fn begin() -> (Self, &'static [u8]) {
        (Self(Xxh3::new()), &HEAD)
    }

    /// What precedes a chunk.
    pub(crate) fn frame(&mut self, chunk: &[u8]) -> [u8; FRAME_BYTES] {
        let checksum = xxh3_64(chunk);
        self.0.update(&checksum.to_le_bytes());
        frame(length(chunk.len()), checksum)
    }

    /// What follows the last chunk.
    pub(crate) fn end(self) -> [u8; FRAME_BYTES] {
        frame(length(0), self.0.digest())
    }
}

fn frame(length: [u8; 4], checksum: u64) -> [u8; FRAME_BYTES] {
    let mut frame = [0; FRAME_BYTES];
    frame[..4].copy_from_slice(&length);
    frame[4..].copy_from_slice(&checksum.to_le_bytes());
    frame
}

/// Hands over what is in a packed layer. Ends early, without an error, when nobody wants more.
///
/// # Errors
///
/// [`WriteError::Damaged`] when it is not what was written.
pub(crate) fn read(file: &File, to: &mut dyn FnMut(Batch) -> bool) -> Result<(), WriteError> {
    let mut chunks = Chunks { file, at: 0, checksums: Xxh3::new() };
    if chunks.take::<{ HEAD.len() }>()? != HEAD {
        return Err(WriteError::Damaged);
    }
    let mut batches = BatchSink::new(to);
    while let Some(chunk) = chunks.next()? {
        for found in entries(&chunk) {
            let found = found?;
            let weight = match &found.kind {
                FoundKind::Bytes(bytes) => bytes.len(),
                _ => 0,
            };
            if !batches.send(found, weight) {
                return Ok(());
            }
        }
    }
    batches.flush();
    Ok(())
}

/// The chunks of a file, whoever else reads it.
struct Chunks<'a> {
    file: &'a File,
    at: u64,
    checksums: Xxh3,
}

impl Chunks<'_> {
    fn next(&mut self) -> Result<Option<Vec<u8>>, WriteError> {
        let count = u32::from_le_bytes(self.take()?) as usize;
        let checksum = self.take()?;
        if count == 0 {
            let is_over = self.file.read_at(&mut [0], self.at).map_err(unreadable)? == 0;
            let is_whole = is_over && self.checksums.digest().to_le_bytes() == checksum;
            return if is_whole { Ok(None) } else { Err(WriteError::Damaged) };
        }
        if count > CHUNK_BYTES_MAX {
            return Err(WriteError::Damaged);
        }
        let mut chunk = vec![0; count];
        self.fill(&mut chunk)?;
        self.checksums.update(&checksum);
        if xxh3_64(&chunk).to_le_bytes() == checksum { Ok(Some(chunk)) } else { Err(WriteError::Damaged) }
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], WriteError> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, into: &mut [u8]) -> Result<(), WriteError> {
        self.file.read_exact_at(into, self.at).map_err(|error| match error.kind() {
            io::ErrorKind::UnexpectedEof => WriteError::Damaged,
            _ => unreadable(error),
        })?;
        self.at += into.len() as u64;
        Ok(())
    }
}

/// The entries of a chunk.
pub(crate) fn entries(chunk: &[u8]) -> impl Iterator<Item = Result<Found, WriteError>> {
    let mut left = Entries(chunk);
    std::iter::from_fn(move || (!left.0.is_empty()).then(|| left.take_one().ok_or(WriteError::Damaged)))
}

/// What is left of a chunk.
struct Entries<'a>(&'a [u8]);

impl<'a> Entries<'a> {
    /// `None` for an entry that nobody wrote.
    fn take_one(&mut self) -> Option<Found> {
        let [tag] = self.number()?;
        let mode = u32::from_le_bytes(self.number()?);
        let uid = u32::from_le_bytes(self.number()?);
        let gid = u32::from_le_bytes(self.number()?);
        let seconds = i64::from_le_bytes(self.number()?);
        let nanoseconds = u32::from_le_bytes(self.number()?);
        let xattrs = self.xattrs()?;
        let path = self.bytes()?;
        let kind = match tag {
            DIRECTORY => FoundKind::Directory { is_opaque: false },
            OPAQUE_DIRECTORY => FoundKind::Directory { is_opaque: true },
            FILE => FoundKind::Bytes(self.bytes()?),
            HARD_LINK => FoundKind::HardLink { first: self.bytes()? },
            SYMLINK => FoundKind::Symlink { target: self.bytes()? },
            FIFO => FoundKind::Fifo,
            _ => return None,
        };
        let mtime = Some(Timestamp { seconds, nanoseconds });
        Some(Found { path, attributes: Attributes { uid, gid, mode, mtime, xattrs }, kind })
    }

    fn xattrs(&mut self) -> Option<Vec<Xattr>> {
        let count = u32::from_le_bytes(self.number()?);
        (0..count).map(|_| Some((self.bytes()?, self.bytes()?))).collect()
    }

    fn bytes(&mut self) -> Option<Vec<u8>> {
        let count = u32::from_le_bytes(self.number()?) as usize;
        self.take(count).map(<[u8]>::to_vec)
    }

    fn number<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }
}

fn unreadable(source: io::Error) -> WriteError {
    WriteError::Layer { path: "/".to_owned(), source }
}
