//! Walks a layer directory in the order of its tar, one step ahead of whoever writes it.

use std::collections::HashMap;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::fs::{AtFlags, FileType, OFlags, RawDir, Stat};

use super::attributes::{Attributes, Xattr, attributes_of, is_overlay_xattr};
use super::descriptors::{open_beneath, open_directory};
use super::limits::PATH_BYTES_MAX;
use super::make::{Place, through_descriptor};
use super::read::text;
use super::write::WriteError;
use super::{OPAQUE_XATTR, WHITEOUT_PREFIX, xattr};

/// Larger files are read by the writer itself, so that memory stays bounded.
const BUFFERED_FILE_BYTES_MAX: u64 = 1 << 20;
const BATCH_ITEMS: usize = 64;
const BATCH_BYTES: usize = 1 << 20;
/// Batches under way; with the two that both threads hold, the memory for contents is below 8 MiB.
pub(crate) const BATCHES_MAX: usize = 4;
const NAMES_BUFFER_BYTES: usize = 32 << 10;
/// Open directories on the way down. Further up they are opened again.
const OPEN_DEPTH_MAX: usize = 64;

/// One file of the layer, in the order of the tar.
pub(crate) struct Found {
    /// The path inside the layer, without a slash at either end.
    pub(crate) path: Vec<u8>,
    pub(crate) attributes: Attributes,
    pub(crate) kind: FoundKind,
}

pub(crate) enum FoundKind {
    Directory {
        is_opaque: bool,
    },
    Bytes(Vec<u8>),
    Large {
        file: OwnedFd,
        size: u64,
    },
    /// A further name of a file that came before.
    HardLink {
        first: Vec<u8>,
    },
    Symlink {
        target: Vec<u8>,
    },
    Fifo,
    Character {
        major: u32,
        minor: u32,
    },
    Block {
        major: u32,
        minor: u32,
    },
    /// Hides the name in the layers below; the path is the hidden one.
    Whiteout,
    /// The root of the layer hides everything below it.
    OpaqueRoot,
}

pub(crate) type Batch = Vec<Found>;

/// Takes what was found, and says whether it wants more.
pub(crate) type Sink<'a> = &'a mut dyn FnMut(Batch) -> bool;

/// Walks below `root` and hands over what it finds. Ends early, without an error, when nobody wants more.
pub(crate) fn walk(root: BorrowedFd<'_>, to: Sink<'_>) -> Result<(), WriteError> {
    let mut walker = Walker { root, to: BatchSink::new(to), links: HashMap::new() };
    match walker.run() {
        Err(Stop::Error(error)) => Err(error),
        Ok(()) | Err(Stop::NobodyListens) => Ok(()),
    }
}

enum Stop {
    Error(WriteError),
    NobodyListens,
}

impl From<WriteError> for Stop {
    fn from(error: WriteError) -> Self {
        Self::Error(error)
    }
}

struct Walker<'a> {
    root: BorrowedFd<'a>,
    to: BatchSink<'a>,
    /// The first path of each file that has several.
    links: HashMap<(u64, u64), Vec<u8>>,
}

/// A directory on the way down.
struct Level {
    path: Vec<u8>,
    directory: Option<OwnedFd>,
    /// The names still to come, last first.
    names: Vec<(Vec<u8>, FileType)>,
}

impl Walker<'_> {
    fn run(&mut self) -> Result<(), Stop> {
        let root = self.open(b"")?;
        let xattrs = xattr::of_descriptor(root.as_fd()).map_err(|source| unreadable(b"", source))?;
        if split_overlay(b"", xattrs)?.1 {
            let attributes = Attributes { mode: 0, ..Attributes::implied_directory(None) };
            self.send(Found { path: Vec::new(), attributes, kind: FoundKind::OpaqueRoot }, 0)?;
        }
        let mut levels = vec![level(Vec::new(), root)?];
        while let Some(top) = levels.last_mut() {
            let Some((name, kind)) = top.names.pop() else {
                levels.pop();
                continue;
            };
            let path = join(&top.path, &name);
            if path.len() > PATH_BYTES_MAX {
                return Err(WriteError::PathTooLong { path: text(&path) }.into());
            }
            if top.directory.is_none() {
                top.directory = Some(self.open(&top.path)?);
            }
            let directory = top.directory.as_ref().expect("opened above").as_fd();
            if let Some(below) = self.visit(directory, &name, path, kind)? {
                let depth = levels.len();
                if depth >= OPEN_DEPTH_MAX {
                    levels[depth - OPEN_DEPTH_MAX].directory = None;
                }
                levels.push(below);
            }
        }
        self.flush()
    }

    fn open(&self, path: &[u8]) -> Result<OwnedFd, Stop> {
        open_directory(self.root, path).map_err(|source| unreadable(path, source))
    }

    /// Sends one file; for a directory, returns what is in it.
    fn visit(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        path: Vec<u8>,
        kind: FileType,
    ) -> Result<Option<Level>, Stop> {
        if name.starts_with(WHITEOUT_PREFIX) {
            return Err(WriteError::ReservedName { path: text(&path) }.into());
        }
        match kind {
            FileType::RegularFile | FileType::Directory => self.visit_open(directory, name, path, kind),
            FileType::Socket => Ok(None),
            _ => self.visit_closed(directory, name, path),
        }
    }

    fn visit_open(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        path: Vec<u8>,
        kind: FileType,
    ) -> Result<Option<Level>, Stop> {
        let failed = |source| unreadable(&path, source);
        let mut flags = OFlags::RDONLY | OFlags::NOFOLLOW;
        flags.set(OFlags::DIRECTORY, kind == FileType::Directory);
        let file = open_beneath(directory, name, flags).map_err(failed)?;
        let stat = rustix::fs::fstat(&file).map_err(failed)?;
        if kind != FileType::Directory
            && let Some(first) = self.first_link(&path, &stat)
        {
            let attributes = attributes_of(&stat, Vec::new());
            self.send(Found { path, attributes, kind: FoundKind::HardLink { first } }, 0)?;
            return Ok(None);
        }
        let xattrs = xattr::of_descriptor(file.as_fd()).map_err(failed)?;
        let (xattrs, is_opaque) = split_overlay(&path, xattrs)?;
        let attributes = attributes_of(&stat, xattrs);
        if kind == FileType::Directory {
            let below = level(path.clone(), file)?;
            self.send(Found { path, attributes, kind: FoundKind::Directory { is_opaque } }, 0)?;
            return Ok(Some(below));
        }
        let size = stat.st_size as u64;
        if size > BUFFERED_FILE_BYTES_MAX {
            self.send(Found { path, attributes, kind: FoundKind::Large { file, size } }, 0)?;
            // The descriptor counts too: the writer is to close it before many more are opened.
            self.flush()?;
            return Ok(None);
        }
        let bytes = read_exactly(&file, size as usize).map_err(failed)?;
        let bytes = bytes.ok_or_else(|| WriteError::Changed { path: text(&path) })?;
        let weight = bytes.len();
        self.send(Found { path, attributes, kind: FoundKind::Bytes(bytes) }, weight)?;
        Ok(None)
    }

    /// What is not opened: symlinks, devices, fifos.
    fn visit_closed(
        &mut self,
        directory: BorrowedFd<'_>,
        name: &[u8],
        path: Vec<u8>,
    ) -> Result<Option<Level>, Stop> {
        let failed = |source| unreadable(&path, source);
        let stat = rustix::fs::statat(directory, name, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        let (major, minor) = (rustix::fs::major(stat.st_rdev), rustix::fs::minor(stat.st_rdev));
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            kind @ (FileType::RegularFile | FileType::Directory) => {
                return self.visit_open(directory, name, path, kind);
            }
            FileType::Symlink => {
                let target = rustix::fs::readlinkat(directory, name, Vec::new()).map_err(failed)?;
                FoundKind::Symlink { target: target.into_bytes() }
            }
            FileType::Fifo => FoundKind::Fifo,
            FileType::CharacterDevice if stat.st_rdev == 0 => {
                let attributes = Attributes { mode: 0, ..Attributes::implied_directory(None) };
                self.send(Found { path, attributes, kind: FoundKind::Whiteout }, 0)?;
                return Ok(None);
            }
            FileType::CharacterDevice => FoundKind::Character { major, minor },
            FileType::BlockDevice => FoundKind::Block { major, minor },
            _ => return Ok(None),
        };
        if let Some(first) = self.first_link(&path, &stat) {
            let attributes = attributes_of(&stat, Vec::new());
            self.send(Found { path, attributes, kind: FoundKind::HardLink { first } }, 0)?;
            return Ok(None);
        }
        let xattrs = xattr::of_path(&through_descriptor(Place { directory, name, path: &path }));
        let (xattrs, _) = split_overlay(&path, xattrs.map_err(failed)?)?;
        self.send(Found { path, attributes: attributes_of(&stat, xattrs), kind }, 0)?;
        Ok(None)
    }

    /// The path under which this file came before, when it did.
    fn first_link(&mut self, path: &[u8], stat: &Stat) -> Option<Vec<u8>> {
        if stat.st_nlink < 2 {
            return None;
        }
        match self.links.entry((stat.st_dev, stat.st_ino)) {
            std::collections::hash_map::Entry::Occupied(first) => Some(first.get().clone()),
            std::collections::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(path.to_vec());
                None
            }
        }
    }

    fn send(&mut self, found: Found, weight: usize) -> Result<(), Stop> {
        if self.to.send(found, weight) { Ok(()) } else { Err(Stop::NobodyListens) }
    }

    fn flush(&mut self) -> Result<(), Stop> {
        if self.to.flush() { Ok(()) } else { Err(Stop::NobodyListens) }
    }
}

/// Gathers what was found.
pub(crate) struct BatchSink<'a> {
    to: Sink<'a>,
    batch: Batch,
    bytes: usize,
}

impl<'a> BatchSink<'a> {
    pub(crate) fn new(to: Sink<'a>) -> Self {
        Self { to, batch: Vec::new(), bytes: 0 }
    }

    /// Hands over one file, whose content keeps `weight` bytes in memory; whether more is wanted.
    pub(crate) fn send(&mut self, found: Found, weight: usize) -> bool {
        self.batch.push(found);
        self.bytes += weight;
        if self.batch.len() >= BATCH_ITEMS || self.bytes >= BATCH_BYTES { self.flush() } else { true }
    }

    pub(crate) fn flush(&mut self) -> bool {
        self.bytes = 0;
        (self.to)(std::mem::take(&mut self.batch))
    }
}

fn unreadable(path: &[u8], source: rustix::io::Errno) -> Stop {
    Stop::Error(WriteError::Layer { path: text(path), source: source.into() })
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory.is_empty() {
        true => name.to_vec(),
        false => [directory, b"/", name].concat(),
    }
}

/// Takes the attributes of overlayfs out and tells whether they make a directory opaque.
fn split_overlay(path: &[u8], mut xattrs: Vec<Xattr>) -> Result<(Vec<Xattr>, bool), WriteError> {
    let [opaque_name, opaque_value] = OPAQUE_XATTR;
    let is_opaque = xattrs.iter().any(|(name, value)| name == opaque_name && value == opaque_value);
    for (name, _) in &xattrs {
        // The rest of such a file is in another layer: its tar would lie.
        if matches!(name.as_slice(), b"user.overlay.redirect" | b"user.overlay.metacopy") {
            return Err(WriteError::Redirected { path: text(path) });
        }
    }
    xattrs.retain(|(name, _)| !is_overlay_xattr(name));
    Ok((xattrs, is_opaque))
}

/// The names in a directory, so that the first in byte order is popped first.
fn level(path: Vec<u8>, directory: OwnedFd) -> Result<Level, Stop> {
    let mut names = Vec::new();
    let mut buffer = [MaybeUninit::uninit(); NAMES_BUFFER_BYTES];
    let mut entries = RawDir::new(&directory, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry.map_err(|source| unreadable(&path, source))?;
        let name = entry.file_name().to_bytes();
        if name != b"." && name != b".." {
            names.push((name.to_vec(), entry.file_type()));
        }
    }
    names.sort_unstable_by(|left, right| right.0.cmp(&left.0));
    Ok(Level { path, directory: Some(directory), names })
}

/// The `size` bytes of a file, or `None` when it does not have that many.
pub(super) fn read_exactly(file: &OwnedFd, size: usize) -> rustix::io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::with_capacity(size);
    while bytes.len() < size {
        match rustix::io::read(file, rustix::buffer::spare_capacity(&mut bytes)) {
            Ok(0) => return Ok(None),
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(Some(bytes))
}
