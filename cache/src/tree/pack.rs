//! Carries out what an instruction says without making the files: they go into one file, see [`crate::layer::packed`].

use std::fs::File;
use std::io::Write;
use std::os::fd::BorrowedFd;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use rustix::fs::FileType;

use super::TreeError;
use super::build::{Action, Copied, run};
use crate::layer::apply::Notes;
use crate::layer::assembly::{Assembly, Existing, PlannedEntry, PlannedKind, ROOT};
use crate::layer::attributes::{Attributes, Timestamp};
use crate::layer::make::Ambient;
use crate::layer::packed::{self, Framing, PackedKind};
use crate::layer::pool;
use crate::layer::source::CopyError;
use crate::layer::walk::{Found, FoundKind};
use crate::layer::work::{Content, Job};
use crate::layer::{PlaceError, Summary, WHITEOUT_PREFIX, WriteError, summary_of};
use crate::processors::processors;

/// Fewer files are made as fast as they are packed, and need not be unpacked.
const FILES_MIN: u64 = 256;
/// What is planned is in memory, some 500 bytes for each file.
const FILES_MAX: usize = 25_000;
/// Packing saves what files cost beside their bytes: larger ones are not worth it.
const MEAN_BYTES_MAX: u64 = 64 << 10;
/// A layer that is unpacked later is there twice.
const BYTES_MAX: u64 = 256 << 20;
/// Entries that a thread reads at a time, and their bytes.
const CHUNK_ENTRIES: usize = 64;
const CHUNK_BYTES: u64 = 1 << 20;
/// Chunks that wait for the writer, for each thread.
const CHUNKS_AHEAD: usize = 2;
/// More threads would wait for the disk.
const THREADS_MAX: usize = 4;

/// A layer that can be packed instead of being made.
pub struct Packing {
    entries: Vec<PlannedEntry>,
    copied: Copied,
}

/// Plans `actions` on `base` as [`super::build()`] does them. `None` for a layer that can only be made: one of too many or
/// of large files, with devices, with the contents of archives.
pub fn plan(
    base: Option<BorrowedFd<'_>>,
    mtime: Option<i64>,
    actions: &[Action<'_>],
) -> Result<Option<Packing>, TreeError> {
    let mut assembly = Assembly::planned(base, FILES_MAX);
    let mut copied = Copied::default();
    let mtime = mtime.map(|seconds| Timestamp { seconds, nanoseconds: 0 });
    for action in actions {
        match run(action, mtime, &mut assembly, &mut copied) {
            Err(TreeError::Place(PlaceError::Unplanned)) => return Ok(None),
            done => done?,
        }
        if copied.size_bytes > BYTES_MAX {
            return Ok(None);
        }
    }
    let entries = assembly.into_entries()?;
    let is_packable = entries.iter().all(is_packable);
    Ok(is_packable.then_some(Packing { entries, copied }))
}

/// A large file would be in memory as a whole; a name that is reserved is an error that the directory has to meet.
fn is_packable(entry: &PlannedEntry) -> bool {
    let size = match &entry.kind {
        PlannedKind::File(content) => size_of(content),
        _ => 0,
    };
    let name_at = entry.path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    size <= packed::FILE_BYTES_MAX as u64 && !entry.path[name_at..].starts_with(WHITEOUT_PREFIX)
}

fn size_of(content: &Content) -> u64 {
    match content {
        Content::Bytes { size, .. } => *size,
        Content::Copy(source) => source.size_bytes,
        Content::Directory => 0,
    }
}

/// What a thread has read of its next chunk.
type Chunk = Result<Vec<u8>, CopyError>;

impl Packing {
    /// Whether it takes noticeably less time to pack the layer than to make its files.
    pub fn is_worthwhile(&self) -> bool {
        self.copied.files >= FILES_MIN && self.copied.size_bytes <= self.copied.files * MEAN_BYTES_MAX
    }

    /// Reads the files, on all cores, and writes the packed layer. Returns what it will be as a tar.
    ///
    /// # Errors
    ///
    /// As [`super::build()`]. What was written is of no use then.
    pub fn write(&self, into: &mut File, clamp_mtime: Option<i64>) -> Result<Summary, UnpackError> {
        let chunks = self.chunks();
        let threads = processors().min(THREADS_MAX);
        std::thread::scope(|scope| {
            let mut readers = Vec::new();
            for thread in 0..threads {
                let (sender, receiver) = sync_channel(CHUNKS_AHEAD);
                let mine = chunks.iter().skip(thread).step_by(threads);
                scope.spawn(move || read(mine, &sender));
                readers.push(receiver);
            }
            summary_of(clamp_mtime, |take| write(&readers, chunks.len(), into, take))
        })
    }

    fn chunks(&self) -> Vec<&[PlannedEntry]> {
        let mut chunks = Vec::new();
        let (mut from, mut bytes) = (0, 0);
        for (at, entry) in self.entries.iter().enumerate() {
            if at - from >= CHUNK_ENTRIES || bytes >= CHUNK_BYTES {
                chunks.push(&self.entries[from..at]);
                (from, bytes) = (at, 0);
            }
            if let PlannedKind::File(content) = &entry.kind {
                bytes += size_of(content);
            }
        }
        if from < self.entries.len() {
            chunks.push(&self.entries[from..]);
        }
        chunks
    }
}

fn read<'a>(chunks: impl Iterator<Item = &'a &'a [PlannedEntry]>, to: &SyncSender<Chunk>) {
    for chunk in chunks {
        let read = read_chunk(chunk);
        let is_over = read.is_err();
        if to.send(read).is_err() || is_over {
            return;
        }
    }
}

fn read_chunk(entries: &[PlannedEntry]) -> Chunk {
    let mut bytes = Vec::new();
    for PlannedEntry { path, attributes, kind } in entries {
        match kind {
            PlannedKind::Directory { is_opaque } => {
                packed::put(&mut bytes, path, attributes, &PackedKind::Directory { is_opaque: *is_opaque });
            }
            PlannedKind::File(Content::Copy(source)) => {
                let mut attributes = attributes.clone();
                let content = source.read(&mut attributes.xattrs)?;
                packed::put(&mut bytes, path, &attributes, &PackedKind::File(&content));
            }
            PlannedKind::File(Content::Bytes { bytes: content, .. }) => {
                packed::put(&mut bytes, path, attributes, &PackedKind::File(content));
            }
            PlannedKind::File(Content::Directory) => unreachable!("no file has the content of a directory"),
            PlannedKind::Symlink(target) => {
                packed::put(&mut bytes, path, attributes, &PackedKind::Symlink(target));
            }
            PlannedKind::Fifo => packed::put(&mut bytes, path, attributes, &PackedKind::Fifo),
            PlannedKind::HardLink { first } => {
                packed::put(&mut bytes, path, attributes, &PackedKind::HardLink(first));
            }
        }
    }
    Ok(bytes)
}

/// Takes the chunks from the threads in turn, which is their order.
fn write(
    readers: &[Receiver<Chunk>],
    chunks: usize,
    into: &mut File,
    take: &mut dyn FnMut(Vec<Found>) -> Result<(), WriteError>,
) -> Result<(), UnpackError> {
    let mut put = |bytes: &[u8]| {
        into.write_all(bytes)
            .map_err(|source| TreeError::from(CopyError::Write { path: "/".to_owned(), source }))
    };
    let (mut framing, head) = Framing::begin();
    put(head)?;
    for chunk in 0..chunks {
        let read = readers[chunk % readers.len()].recv();
        let bytes = read.expect("a thread sends all of its chunks, or an error").map_err(TreeError::from)?;
        if bytes.len() > packed::CHUNK_BYTES_MAX {
            return Err(UnpackError::Unpackable);
        }
        put(&framing.frame(&bytes))?;
        put(&bytes)?;
        // While the threads read the next ones.
        take(packed::entries(&bytes).collect::<Result<_, _>>()?)?;
    }
    Ok(put(&framing.end())?)
}

/// Makes the directory of a packed layer in `into`, which is empty: what [`super::build()`] would have made.
pub fn unpack_packed(file: &File, into: BorrowedFd<'_>) -> Result<(), UnpackError> {
    let ambient = Ambient::probe(into).map_err(TreeError::from)?;
    let notes = Notes::default();
    let note = |note| notes.add(note);
    let work = |job: Job| job.run(&ambient, &note);
    pool::with(work, |pool| -> Result<(), UnpackError> {
        let mut assembly = Assembly::new(into, None, ambient, &note, pool).map_err(TreeError::from)?;
        let mut put = Ok(());
        packed::read(file, &mut |batch| {
            put = batch.into_iter().try_for_each(|found| put_one(&mut assembly, found));
            put.is_ok()
        })?;
        put?;
        Ok(assembly.finish().map_err(TreeError::from)?)
    })
    .map_err(TreeError::from)?
}

/// Why a packed layer cannot be made, or cannot become a directory.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// A file cannot be made.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// The packed layer cannot be read, or is damaged.
    #[error(transparent)]
    Read(#[from] WriteError),
    /// The files have more extended attributes than are packed; they can be made.
    #[error("the files have too many extended attributes to be packed")]
    Unpackable,
}

fn put_one(assembly: &mut Assembly<'_, '_>, found: Found) -> Result<(), TreeError> {
    let Found { path, attributes, kind } = found;
    let name_at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let missing = || Attributes::implied_directory(None);
    let parent = assembly.enter(ROOT, &path[..name_at.saturating_sub(1)], &missing)?;
    let name = &path[name_at..];
    match kind {
        FoundKind::Directory { is_opaque } => {
            let made = assembly.make_directory(parent, name, attributes)?;
            if is_opaque {
                assembly.set_opaque(made)?;
            }
        }
        FoundKind::Bytes(bytes) => {
            let (weight, size) = (bytes.len(), bytes.len() as u64);
            assembly.make_file(
                parent,
                name,
                attributes,
                Content::Bytes { bytes, extents: None, size },
                weight,
            )?;
        }
        FoundKind::HardLink { first } => {
            if let Some(Existing::Other(target) | Existing::Symlink(target)) = find(assembly, &first)? {
                assembly.make_hard_link(target, parent, name, &attributes)?;
            }
        }
        FoundKind::Symlink { target } => {
            assembly.make_symlink(parent, name, &target, &attributes)?;
        }
        FoundKind::Fifo => {
            assembly.make_node(parent, name, FileType::Fifo, (0, 0), &attributes)?;
        }
        FoundKind::Large { .. }
        | FoundKind::Character { .. }
        | FoundKind::Block { .. }
        | FoundKind::Whiteout
        | FoundKind::OpaqueRoot => unreachable!("a packed layer has no such entries"),
    }
    Ok(())
}

/// What stands at a path, and is no directory; not followed when it is a symlink.
fn find(assembly: &mut Assembly<'_, '_>, path: &[u8]) -> Result<Option<Existing>, TreeError> {
    let name_at = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    match assembly.find(ROOT, &path[..name_at.saturating_sub(1)])? {
        Some(Existing::Directory(parent)) => Ok(assembly.existing(parent, &path[name_at..])?),
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_nobody_could_read_again_are_not_packed() {
        let xattr = (b"user.large".to_vec(), vec![0; 64 << 10]);
        let attributes = Attributes { xattrs: vec![xattr; 5], ..Attributes::implied_directory(None) };
        let entry = |number: usize| PlannedEntry {
            path: format!("{number:02}").into_bytes(),
            attributes: attributes.clone(),
            kind: PlannedKind::File(Content::Bytes { bytes: Vec::new(), extents: None, size: 0 }),
        };
        let entries: Vec<_> = (0..CHUNK_ENTRIES).map(entry).collect();
        let packing = Packing { entries, copied: Copied::default() };
        let error = packing.write(&mut tempfile::tempfile().unwrap(), None).unwrap_err();
        assert!(matches!(error, UnpackError::Unpackable), "{error}");
    }
}
