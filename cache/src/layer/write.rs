//! Writes the tar of a layer directory, always the same bytes for the same files.

use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::sync::mpsc::{Receiver, sync_channel};

use image::{DiffId, Digest, Sha256};

use super::content_hash::ContentHash;
use super::header::{Header, pad};
use super::walk::{BATCHES_MAX, Batch, Found, FoundKind, walk};
use super::{OPAQUE_MARKER, WHITEOUT_PREFIX, packed};
use crate::layer::read::text;

const COPY_BUFFER_BYTES: usize = 256 << 10;
/// Two blocks of zeros end a tar.
const END: [u8; 1024] = [0; 1024];
const CONTENT_DOMAIN: &str = "layer content/v1";

/// Why the tar of a layer cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// A file of the layer cannot be read.
    #[error("cannot read `{path}` of the layer")]
    Layer {
        /// The path inside the layer.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The tar cannot be written.
    #[error("cannot write the layer's tar")]
    Output {
        /// What the writer said.
        #[source]
        source: io::Error,
    },
    /// A name that would read as a whiteout.
    #[error("`{path}` has a name that is reserved for whiteouts: a layer cannot hold it")]
    ReservedName {
        /// The path inside the layer.
        path: String,
    },
    /// Only a part of the file is in the layer; overlayfs was mounted with options that we never use.
    #[error("`{path}` refers to another layer")]
    Redirected {
        /// The path inside the layer.
        path: String,
    },
    /// A path that no program could use.
    #[error("`{path}` is too long")]
    PathTooLong {
        /// The path inside the layer.
        path: String,
    },
    /// The one file that a layer of many is kept in.
    #[error("the layer's packed files are damaged")]
    Damaged,
    /// The file became shorter, though a layer never changes.
    #[error("`{path}` changed while it was read")]
    Changed {
        /// The path inside the layer.
        path: String,
    },
}

/// The files of a layer, in one of the forms that the store keeps them in.
#[derive(Debug, Clone, Copy)]
pub enum Files<'a> {
    /// A directory, as a lower directory of an overlay.
    Directory(BorrowedFd<'a>),
    /// One file of the store's own format.
    Packed(&'a std::fs::File),
}

impl<'a> From<BorrowedFd<'a>> for Files<'a> {
    fn from(directory: BorrowedFd<'a>) -> Self {
        Self::Directory(directory)
    }
}

impl Files<'_> {
    /// Hands over what is in the layer, in the order of its tar.
    fn read(self, to: &mut dyn FnMut(Batch) -> bool) -> Result<(), WriteError> {
        match self {
            Self::Directory(directory) => walk(directory, to),
            Self::Packed(file) => packed::read(file, to),
        }
    }
}

/// What one pass over a layer tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Digest of the tar that [`write_tar`] gives.
    pub diff_id: DiffId,
    /// What [`content_digest`] gives.
    pub content: Digest,
    /// Bytes of all regular files; hard links count once.
    pub size_bytes: u64,
}

/// Writes the tar of `layer` to `to`.
///
/// The same files give the same bytes, whatever file system they are on: depth first, names in byte order,
/// parents before what is in them; times in whole seconds, not later than `clamp_mtime` (seconds since the
/// epoch); no names of users; ustar headers, with PAX records only for what these cannot hold. Whiteouts and
/// opaque directories become `.wh.` entries (OCI image specification); the first name of a file in this
/// order is the file, the others are hard links. Left out: the root's own attributes, sockets, attributes
/// of overlayfs and SELinux. Holes are written as zeros.
///
/// A layer without files gives the two empty blocks that end a tar. Memory is bounded whatever the size.
pub fn write_tar<'a>(
    layer: impl Into<Files<'a>>,
    to: &mut dyn Write,
    clamp_mtime: Option<i64>,
) -> Result<(), WriteError> {
    let mut to = TarOutput::new(to, clamp_mtime);
    each_batch(layer.into(), |batch| {
        batch.into_iter().try_for_each(|found| write_one(found, &mut [&mut to]))
    })?;
    to.end()
}

/// The digest of what a layer holds, with no regard to time: names, kinds, modes, owners, extended
/// attributes, link targets, bytes, whiteouts.
pub fn content_digest<'a>(layer: impl Into<Files<'a>>) -> Result<Digest, WriteError> {
    let mut hash = ContentHash::new(CONTENT_DOMAIN);
    let mut to = TarOutput { to: &mut hash, pending: Vec::new(), times: Times::Left };
    each_batch(layer.into(), |batch| {
        batch.into_iter().try_for_each(|found| write_one(found, &mut [&mut to]))
    })?;
    to.end()?;
    Ok(hash.finish())
}

/// Bytes of all regular files of a layer; hard links count once, holes count.
pub fn size_bytes<'a>(layer: impl Into<Files<'a>>) -> Result<u64, WriteError> {
    match layer.into() {
        Files::Directory(directory) => super::size::size_bytes(directory),
        packed @ Files::Packed(_) => {
            let mut size_bytes = 0;
            packed.read(&mut |batch| {
                size_bytes += batch.iter().map(Found::size).sum::<u64>();
                true
            })?;
            Ok(size_bytes)
        }
    }
}

/// Everything that is to be known about a layer, in one pass over its files.
pub fn summarize<'a>(layer: impl Into<Files<'a>>, clamp_mtime: Option<i64>) -> Result<Summary, WriteError> {
    summary_of(clamp_mtime, |take| each_batch(layer.into(), take))
}

/// The same for a layer of a few small files, with nobody's help; `None` for a larger one.
pub(crate) fn summarize_small(
    layer: BorrowedFd<'_>,
    clamp_mtime: Option<i64>,
) -> Result<Option<Summary>, WriteError> {
    let batch = only_batch(layer)?;
    batch.map(|batch| summary_of(clamp_mtime, |take| take(batch))).transpose()
}

/// The same for what `feed` hands over, in the order of the tar.
pub(crate) fn summary_of<E: From<WriteError>>(
    clamp_mtime: Option<i64>,
    feed: impl FnOnce(&mut dyn FnMut(Batch) -> Result<(), WriteError>) -> Result<(), E>,
) -> Result<Summary, E> {
    let (mut diff, mut content, mut size_bytes) = (Sha256::new(), ContentHash::new(CONTENT_DOMAIN), 0);
    let times = Times::Clamped(clamp_mtime);
    let mut diff_output = TarOutput { to: &mut diff, pending: Vec::new(), times };
    let mut content_output = TarOutput { to: &mut content, pending: Vec::new(), times: Times::Left };
    feed(&mut |batch| {
        for found in batch {
            size_bytes += found.size();
            write_one(found, &mut [&mut diff_output, &mut content_output])?;
        }
        Ok(())
    })?;
    diff_output.end()?;
    content_output.end()?;
    Ok(Summary { diff_id: DiffId(diff.finish()), content: content.finish(), size_bytes })
}

/// All that is in a layer, when that is no more than one batch.
fn only_batch(layer: BorrowedFd<'_>) -> Result<Option<Batch>, WriteError> {
    let mut batches = Vec::new();
    walk(layer, &mut |batch| {
        batches.push(batch);
        batches.len() < 2
    })?;
    Ok(if batches.len() == 1 { batches.pop() } else { None })
}

/// Walks on another thread, so that files are read while the ones before are hashed and written.
pub(super) fn each_batch(
    layer: Files<'_>,
    mut take: impl FnMut(Batch) -> Result<(), WriteError>,
) -> Result<(), WriteError> {
    let (sender, receiver) = sync_channel(BATCHES_MAX);
    std::thread::scope(|scope| {
        let walker = scope.spawn(move || layer.read(&mut |batch| sender.send(batch).is_ok()));
        let mut drain = |receiver: Receiver<Batch>| receiver.into_iter().try_for_each(&mut take);
        // An error here drops the receiver, which ends the walk.
        let taken = drain(receiver);
        let walked = walker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        taken.and(walked)
    })
}

/// Which times a tar has.
#[derive(Clone, Copy)]
enum Times {
    /// The files' own, but none later than this.
    Clamped(Option<i64>),
    /// None.
    Left,
}

/// A tar on its way: headers are gathered, so that the writer below gets few calls.
pub(super) struct TarOutput<'a> {
    to: &'a mut dyn Write,
    pending: Vec<u8>,
    times: Times,
}

impl<'a> TarOutput<'a> {
    pub(super) fn new(to: &'a mut dyn Write, clamp_mtime: Option<i64>) -> Self {
        Self { to, pending: Vec::with_capacity(COPY_BUFFER_BYTES), times: Times::Clamped(clamp_mtime) }
    }

    /// What comes from now on has no later times.
    pub(super) fn clamp(&mut self, clamp_mtime: Option<i64>) {
        self.times = Times::Clamped(clamp_mtime);
    }

    pub(super) fn header(&mut self, header: &Header<'_>) {
        let mtime_seconds = match self.times {
            Times::Clamped(Some(clamp)) => header.mtime_seconds.min(clamp),
            Times::Clamped(None) => header.mtime_seconds,
            Times::Left => 0,
        };
        Header { mtime_seconds, ..*header }.write(&mut self.pending);
    }

    fn body(&mut self, bytes: &[u8]) -> Result<(), WriteError> {
        if self.pending.len() + bytes.len() > COPY_BUFFER_BYTES {
            self.flush()?;
        }
        if bytes.len() > COPY_BUFFER_BYTES / 4 {
            self.flush()?;
            return self.to.write_all(bytes).map_err(|source| WriteError::Output { source });
        }
        self.pending.extend_from_slice(bytes);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), WriteError> {
        let written = self.to.write_all(&self.pending).map_err(|source| WriteError::Output { source });
        self.pending.clear();
        written
    }

    pub(super) fn end(&mut self) -> Result<(), WriteError> {
        self.body(&END)?;
        self.flush()?;
        self.to.flush().map_err(|source| WriteError::Output { source })
    }
}

impl Found {
    pub(super) fn size(&self) -> u64 {
        match &self.kind {
            FoundKind::Bytes(bytes) => bytes.len() as u64,
            FoundKind::Large { size, .. } => *size,
            _ => 0,
        }
    }
}

pub(super) fn write_one(found: Found, outputs: &mut [&mut TarOutput<'_>]) -> Result<(), WriteError> {
    let size = found.size();
    let Found { path, attributes, kind } = found;
    let mut entry_path = path.clone();
    let mut link = Vec::new();
    let mut device = None;
    let mut is_opaque = false;
    let mut body = Body::None;
    let type_flag = match kind {
        FoundKind::Directory { is_opaque: opaque } => {
            is_opaque = opaque;
            entry_path.push(b'/');
            b'5'
        }
        FoundKind::Bytes(bytes) => {
            body = Body::Bytes(bytes);
            b'0'
        }
        FoundKind::Large { file, .. } => {
            body = Body::File(file.into());
            b'0'
        }
        FoundKind::HardLink { first } => {
            link = first;
            b'1'
        }
        FoundKind::Symlink { target } => {
            link = target;
            b'2'
        }
        FoundKind::Character { major, minor } => {
            device = Some((major, minor));
            b'3'
        }
        FoundKind::Block { major, minor } => {
            device = Some((major, minor));
            b'4'
        }
        FoundKind::Fifo => b'6',
        FoundKind::Whiteout => {
            write_marker(&whiteout_path(&path), outputs);
            return Ok(());
        }
        FoundKind::OpaqueRoot => {
            write_marker(OPAQUE_MARKER, outputs);
            return Ok(());
        }
    };
    // A symlink's mode means nothing; some file systems show another one.
    let mode = if type_flag == b'2' { 0o777 } else { attributes.mode };
    let header = Header {
        path: &entry_path,
        link: &link,
        type_flag,
        mode,
        uid: attributes.uid,
        gid: attributes.gid,
        size,
        mtime_seconds: attributes.mtime.map_or(0, |mtime| mtime.seconds),
        device,
        xattrs: &attributes.xattrs,
    };
    outputs.iter_mut().for_each(|output| output.header(&header));
    write_body(&path, size, body, outputs)?;
    if is_opaque {
        entry_path.extend_from_slice(OPAQUE_MARKER);
        write_marker(&entry_path, outputs);
    }
    Ok(())
}

enum Body {
    None,
    Bytes(Vec<u8>),
    File(std::fs::File),
}

fn write_body(
    path: &[u8],
    size: u64,
    body: Body,
    outputs: &mut [&mut TarOutput<'_>],
) -> Result<(), WriteError> {
    match body {
        Body::None => return Ok(()),
        Body::Bytes(bytes) => outputs.iter_mut().try_for_each(|output| output.body(&bytes))?,
        Body::File(mut file) => {
            let mut buffer = vec![0; COPY_BUFFER_BYTES];
            let mut left = size;
            while left > 0 {
                let wanted = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                let count = match file.read(&mut buffer[..wanted]) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    count => count.map_err(|source| WriteError::Layer { path: text(path), source })?,
                };
                if count == 0 {
                    return Err(WriteError::Changed { path: text(path) });
                }
                outputs.iter_mut().try_for_each(|output| output.body(&buffer[..count]))?;
                left -= count as u64;
            }
        }
    }
    outputs.iter_mut().for_each(|output| pad(&mut output.pending, size));
    Ok(())
}

fn whiteout_path(hidden: &[u8]) -> Vec<u8> {
    let name_at = hidden.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    [&hidden[..name_at], WHITEOUT_PREFIX, &hidden[name_at..]].concat()
}

/// An entry that only says that something is hidden: empty, root's, at the epoch.
fn write_marker(path: &[u8], outputs: &mut [&mut TarOutput<'_>]) {
    let header = Header {
        path,
        link: b"",
        type_flag: b'0',
        mode: 0,
        uid: 0,
        gid: 0,
        size: 0,
        mtime_seconds: 0,
        device: None,
        xattrs: &[],
    };
    outputs.iter_mut().for_each(|output| output.header(&header));
}
