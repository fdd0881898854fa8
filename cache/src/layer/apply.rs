//! Unpacks a layer's tar into its own directory, as overlayfs wants to have it.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::FileExt;
use std::sync::{Mutex, PoisonError};

use rustix::fs::FileType;

use super::assembly::{Assembly, Existing, NodeId, PlaceError, ROOT};
use super::attributes::Attributes;
use super::error::ApplyError;
use super::limits::{Limits, NAME_BYTES_MAX};
use super::make::{Ambient, MakeError, Note};
use super::pool;
use super::read::{Entry, EntryKind, TarReader, text};
use super::source::CopyError;
use super::work::{Content, Job, WorkError};
use super::{OPAQUE_MARKER, WHITEOUT_PREFIX};

/// Larger files are written as they are read, so that memory stays bounded.
const BUFFERED_FILE_BYTES_MAX: u64 = 1 << 20;
const COPY_BUFFER_BYTES: usize = 256 << 10;
/// Notes beyond this many are dropped: the first ones tell what is the matter.
pub(crate) const NOTES_MAX: usize = 100;

/// What unpacking a layer did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Applied {
    /// Entries in the tar, without extended headers.
    pub entries: u64,
    /// Bytes of all regular files, holes included; hard links count once.
    pub size_bytes: u64,
    /// Whether the layer hides everything below it. Overlayfs does not look for that at the root of a layer:
    /// whoever stacks it must leave out the layers below.
    pub is_root_opaque: bool,
    /// What was left out because of where we run, sorted.
    pub notes: Vec<Note>,
}

/// Unpacks the uncompressed `tar` of one layer into `into`, an empty directory on a file system with `user.`
/// extended attributes, in the form of an overlayfs lower directory for mounts with `userxattr`: a whiteout
/// is the character device 0:0, an opaque directory has the attribute `user.overlay.opaque` = `y`.
///
/// Reads `tar` to its end, so that a reader which hashes has seen all bytes. After an error the directory is
/// in no particular state and is to be removed.
///
/// Rules where tars are unclear, or hostile:
///
/// - Names are relative to the root, also absolute ones; `a/../b` is `b`; a name that leads out of the root is
///   an error. Symlinks in the parents of a name are followed inside the root, as they would be in the
///   container. What is missing on the way becomes a directory of root with mode 0755.
/// - Of several entries for one name the last wins, except that a directory entry for a directory only changes
///   its attributes. Whiteouts and opaque markers hide layers below and nothing of their own layer, wherever
///   in the tar they stand (OCI image specification, "Whiteouts").
/// - An entry for the root itself is ignored, as containerd does.
/// - Names beginning with `.wh.` that are not whiteouts, the character device 0:0, and hard links to what the
///   layer does not have are errors. Extended attributes of overlayfs and SELinux labels are left out.
///
/// In a user namespace a device node cannot be made: it is left out with a note. An owner outside of the
/// namespace's ids is an error.
pub fn apply(tar: &mut dyn Read, into: BorrowedFd<'_>, limits: &Limits) -> Result<Applied, ApplyError> {
    unpack(tar, into, Form::Layer, None, limits)
}

/// Unpacks an archive of files, which is no layer, into `into`, an empty directory as for [`apply`]. Everything
/// belongs to `owner`, whatever the tar says; without one to whom the tar names.
///
/// The rules are those of [`apply`], except that nothing is a whiteout: names that begin with `.wh.` are errors.
pub fn unpack_archive(
    tar: &mut dyn Read,
    into: BorrowedFd<'_>,
    owner: Option<(u32, u32)>,
    limits: &Limits,
) -> Result<Applied, ApplyError> {
    unpack(tar, into, Form::Archive, owner, limits)
}

fn unpack(
    tar: &mut dyn Read,
    into: BorrowedFd<'_>,
    form: Form,
    owner: Option<(u32, u32)>,
    limits: &Limits,
) -> Result<Applied, ApplyError> {
    let ambient = Ambient::probe(into)?;
    let notes = Notes::default();
    let note = |note| notes.add(note);
    let work = |job: Job| job.run(&ambient, &note);
    let mut applied = pool::with(work, |pool| -> Result<Applied, ApplyError> {
        let mut assembly = Assembly::new(into, None, ambient, &note, pool)?;
        let mut unpacker =
            Unpacker { assembly: &mut assembly, start: ROOT, form, owner, applied: Applied::default() };
        unpacker.run(tar, limits)?;
        let mut applied = unpacker.applied;
        applied.is_root_opaque = assembly.is_root_opaque();
        assembly.finish()?;
        Ok(applied)
    })
    .map_err(|error| match error {
        WorkError::Make(error) => ApplyError::from(error),
        WorkError::Copy(error) => copy_error(error),
    })??;
    applied.notes = notes.into_sorted();
    Ok(applied)
}

/// A file of the base that a hard link needs could not be copied up.
fn copy_error(error: CopyError) -> ApplyError {
    let (path, source) = match error {
        CopyError::Read { path, source } => return PlaceError::Base { path, source }.into(),
        CopyError::Write { path, source } => (path, source),
        CopyError::Changed { path } => (path, rustix::io::Errno::STALE.into()),
    };
    MakeError::Write { path, call: "write", source }.into()
}

/// Notes from all threads.
#[derive(Default)]
pub(crate) struct Notes(Mutex<BTreeSet<Note>>);

impl Notes {
    pub(crate) fn add(&self, note: Note) {
        let mut notes = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if notes.len() < NOTES_MAX {
            notes.insert(note);
        }
    }

    pub(crate) fn into_sorted(self) -> Vec<Note> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).into_iter().collect()
    }
}

/// What names with `.wh.` mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// Whiteouts of a layer.
    Layer,
    /// Names like any other, in an archive that ADD unpacks. But a layer cannot hold them, so they are refused.
    Archive,
}

/// Puts the entries of a tar into an assembly.
pub(crate) struct Unpacker<'u, 'a, 'p> {
    pub(crate) assembly: &'u mut Assembly<'a, 'p>,
    /// The directory that the tar's names begin in.
    pub(crate) start: NodeId,
    pub(crate) form: Form,
    /// Who owns everything, instead of whom the tar names.
    pub(crate) owner: Option<(u32, u32)>,
    pub(crate) applied: Applied,
}

impl Unpacker<'_, '_, '_> {
    pub(crate) fn run(&mut self, tar: &mut dyn Read, limits: &Limits) -> Result<(), ApplyError> {
        let mut reader = TarReader::new(tar, limits);
        while let Some(mut entry) = reader.next()? {
            self.applied.entries += 1;
            if let Some((uid, gid)) = self.owner {
                entry.attributes.uid = uid;
                entry.attributes.gid = gid;
            }
            self.take(entry, &mut reader)?;
        }
        Ok(reader.drain()?)
    }

    fn take(&mut self, entry: Entry, reader: &mut TarReader<'_>) -> Result<(), ApplyError> {
        let path = entry.path.clone();
        let components = clean(&path).ok_or_else(|| refuse(&entry))?;
        let Some((name, parents)) = components.split_last() else { return Ok(()) };
        for component in &components {
            if component.len() > NAME_BYTES_MAX || component.contains(&0) {
                return Err(ApplyError::Name { path: entry.path_text() });
            }
        }
        if components.iter().any(|component| AUFS_NAMES.contains(component)) {
            return Ok(());
        }
        let is_reserved = |component: &&[u8]| component.starts_with(WHITEOUT_PREFIX);
        if parents.iter().any(is_reserved) || (self.form == Form::Archive && is_reserved(name)) {
            return Err(ApplyError::ReservedName { path: entry.path_text() });
        }
        let mtime = entry.attributes.mtime;
        let missing = || Attributes::implied_directory(mtime);
        let parent = self.assembly.enter(self.start, &parents.join(&b'/'), &missing)?;
        match name.strip_prefix(WHITEOUT_PREFIX) {
            Some(hidden) => self.whiteout(parent, name, hidden, &entry),
            None => self.make(parent, name, entry, reader),
        }
    }

    fn whiteout(
        &mut self,
        parent: NodeId,
        name: &[u8],
        hidden: &[u8],
        entry: &Entry,
    ) -> Result<(), ApplyError> {
        if name == OPAQUE_MARKER {
            return Ok(self.assembly.set_opaque(parent)?);
        }
        if matches!(hidden, b"" | b"." | b"..") || hidden.starts_with(WHITEOUT_PREFIX) {
            return Err(ApplyError::ReservedName { path: entry.path_text() });
        }
        Ok(self.assembly.make_whiteout(parent, hidden)?)
    }

    fn make(
        &mut self,
        parent: NodeId,
        name: &[u8],
        entry: Entry,
        reader: &mut TarReader<'_>,
    ) -> Result<(), ApplyError> {
        match entry.kind {
            EntryKind::File => return self.make_file(parent, name, entry, reader),
            EntryKind::HardLink => return self.make_hard_link(parent, name, &entry),
            EntryKind::Symlink if entry.link.is_empty() || entry.link.contains(&0) => {
                return Err(ApplyError::Name { path: entry.path_text() });
            }
            EntryKind::Symlink => {
                self.assembly.make_symlink(parent, name, &entry.link, &entry.attributes)?;
            }
            EntryKind::Directory => {
                self.assembly.make_directory(parent, name, entry.attributes)?;
            }
            EntryKind::Fifo => {
                self.assembly.make_node(parent, name, FileType::Fifo, (0, 0), &entry.attributes)?;
            }
            EntryKind::Character { major: 0, minor: 0 } => {
                return Err(ApplyError::WhiteoutDevice { path: entry.path_text() });
            }
            EntryKind::Character { major, minor } => {
                let kind = FileType::CharacterDevice;
                self.assembly.make_node(parent, name, kind, (major, minor), &entry.attributes)?;
            }
            EntryKind::Block { major, minor } => {
                let kind = FileType::BlockDevice;
                self.assembly.make_node(parent, name, kind, (major, minor), &entry.attributes)?;
            }
        }
        Ok(())
    }

    fn make_file(
        &mut self,
        parent: NodeId,
        name: &[u8],
        entry: Entry,
        reader: &mut TarReader<'_>,
    ) -> Result<(), ApplyError> {
        self.applied.size_bytes += entry.size;
        if reader.body_left() > BUFFERED_FILE_BYTES_MAX {
            return self.assembly.make_file_now(parent, name, &entry.attributes, |file, path| {
                stream_body(file, path, &entry, reader)
            });
        }
        let bytes = reader.read_whole_body()?;
        let weight = bytes.len();
        let content = Content::Bytes { bytes, extents: entry.extents, size: entry.size };
        self.assembly.make_file(parent, name, entry.attributes, content, weight)?;
        Ok(())
    }

    fn make_hard_link(&mut self, parent: NodeId, name: &[u8], entry: &Entry) -> Result<(), ApplyError> {
        let no_target = || ApplyError::LinkTarget { path: entry.path_text(), target: text(&entry.link) };
        let components = clean(&entry.link).ok_or_else(|| refuse(entry))?;
        let Some((last, parents)) = components.split_last() else { return Err(no_target()) };
        let found = self.assembly.find(self.start, &parents.join(&b'/'))?;
        let Some(Existing::Directory(directory)) = found else { return Err(no_target()) };
        let target = match self.assembly.existing(directory, last)? {
            None => return Err(no_target()),
            Some(Existing::Directory(_)) => {
                let target = text(&entry.link);
                return Err(ApplyError::LinkToDirectory { path: entry.path_text(), target });
            }
            Some(Existing::Symlink(target) | Existing::Other(target)) => target,
        };
        let is_in_layer = self.assembly.is_in_layer(target);
        let target = if is_in_layer { target } else { self.assembly.copy_up(target)? };
        Ok(self.assembly.make_hard_link(target, parent, name, &entry.attributes)?)
    }
}

/// Directories in which AUFS kept its own state; images of that time still have them. Docker leaves them out.
const AUFS_NAMES: [&[u8]; 3] = [b".wh..wh.plnk", b".wh..wh.aufs", b".wh..wh.orph"];

fn refuse(entry: &Entry) -> ApplyError {
    ApplyError::Escapes { path: entry.path_text() }
}

/// The components of a name with `.` and `..` worked out by text alone, as the reference does. `None` when
/// the name leads out of the root.
fn clean(path: &[u8]) -> Option<Vec<&[u8]>> {
    let mut components = Vec::new();
    for component in path.split(|byte| *byte == b'/') {
        match component {
            b"" | b"." => {}
            b".." => {
                components.pop()?;
            }
            _ => components.push(component),
        }
    }
    Some(components)
}

/// Writes the stored bytes of the current entry to `file` as they come.
fn stream_body(
    file: &std::fs::File,
    path: &[u8],
    entry: &Entry,
    reader: &mut TarReader<'_>,
) -> Result<(), ApplyError> {
    let failed = |call| move |source| MakeError::Write { path: text(path), call, source };
    let whole = [super::sparse::Extent { offset: 0, length: entry.size }];
    if entry.extents.is_some() {
        file.set_len(entry.size).map_err(failed("ftruncate"))?;
    }
    let mut buffer = vec![0; COPY_BUFFER_BYTES];
    for extent in entry.extents.as_deref().unwrap_or(&whole) {
        let mut done = 0;
        while done < extent.length {
            let wanted = buffer.len().min(usize::try_from(extent.length - done).unwrap_or(usize::MAX));
            let count = reader.read_body(&mut buffer[..wanted])?;
            file.write_all_at(&buffer[..count], extent.offset + done).map_err(failed("pwrite64"))?;
            done += count as u64;
        }
    }
    Ok(())
}
