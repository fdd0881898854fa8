//! What a layer does, entry by entry, without the bytes of its files.

use super::walk::{Found, FoundKind};
use super::write::{Files, WriteError, each_batch};

/// One entry of a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayerEntry {
    /// The path from the root of the image; empty for the root itself.
    pub path: Vec<u8>,
    /// What is there.
    pub kind: EntryKind,
    /// Bytes of a file; further names of one have none.
    pub size_bytes: u64,
    /// The twelve permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
}

/// What a layer has under a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory, which may hide what the layers below have in it.
    Directory {
        /// Whether it does.
        is_opaque: bool,
    },
    /// A file, or a further name of one.
    File,
    /// A symbolic link.
    Symlink,
    /// A device file or a pipe.
    Special,
    /// Nothing: the layers below have it, and this one removes it.
    Removal,
}

/// Hears of every entry, in the order of the layer's tar.
///
/// # Errors
///
/// As those of [`super::write_tar`], but for output.
pub fn contents<'a>(layer: impl Into<Files<'a>>, take: &mut dyn FnMut(LayerEntry)) -> Result<(), WriteError> {
    each_batch(layer.into(), |batch| {
        batch.into_iter().map(entry).for_each(&mut *take);
        Ok(())
    })
}

fn entry(found: Found) -> LayerEntry {
    let size_bytes = found.size();
    let Found { path, attributes, kind } = found;
    let kind = match kind {
        FoundKind::Directory { is_opaque } => EntryKind::Directory { is_opaque },
        FoundKind::Bytes(_) | FoundKind::Large { .. } | FoundKind::HardLink { .. } => EntryKind::File,
        FoundKind::Symlink { .. } => EntryKind::Symlink,
        FoundKind::Fifo | FoundKind::Character { .. } | FoundKind::Block { .. } => EntryKind::Special,
        FoundKind::Whiteout => EntryKind::Removal,
        FoundKind::OpaqueRoot => EntryKind::Directory { is_opaque: true },
    };
    LayerEntry { path, kind, size_bytes, mode: attributes.mode, owner: (attributes.uid, attributes.gid) }
}
