//! Makes several layers one: what they have on top of those below, and whiteouts for what they removed there.

use std::collections::BTreeMap;
use std::io::Write;
use std::os::fd::BorrowedFd;

use super::attributes::Attributes;
use super::walk::{Found, FoundKind};
use super::write::{Files, TarOutput, WriteError, each_batch, write_one};

/// What the one layer has under a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Entry {
    Directory { is_opaque: bool },
    Whiteout,
    Other,
}

/// Entries by path.
#[derive(Debug, Default)]
struct Merged {
    entries: BTreeMap<Vec<u8>, Entry>,
    /// Everything below is hidden.
    is_opaque: bool,
}

/// Writes the tar of one layer that does what `layers` do, lowest first. `view` shows them on top of the layers below.
///
/// # Errors
///
/// Those of [`write_tar`](super::write_tar).
pub(crate) fn write_squashed(
    layers: &[Files<'_>],
    view: BorrowedFd<'_>,
    to: &mut dyn Write,
) -> Result<(), WriteError> {
    let mut merged = Merged::default();
    for layer in layers.iter().rev() {
        merged.add_below(*layer)?;
    }
    let mut to = TarOutput::new(to, None);
    if merged.is_opaque {
        write_one(marker(Vec::new(), FoundKind::OpaqueRoot), &mut [&mut to])?;
    }
    let whiteouts = merged.entries.iter().filter(|(_, entry)| **entry == Entry::Whiteout);
    for (path, _) in whiteouts {
        write_one(marker(path.clone(), FoundKind::Whiteout), &mut [&mut to])?;
    }
    let mut write = |found: Found| match merged.entries.get(&found.path) {
        Some(Entry::Directory { is_opaque }) => {
            let kind = FoundKind::Directory { is_opaque: *is_opaque };
            write_one(Found { kind, ..found }, &mut [&mut to])
        }
        Some(Entry::Other) => write_one(found, &mut [&mut to]),
        Some(Entry::Whiteout) | None => Ok(()),
    };
    each_batch(Files::Directory(view), |batch| batch.into_iter().try_for_each(&mut write))?;
    to.end()
}

fn marker(path: Vec<u8>, kind: FoundKind) -> Found {
    Found { path, attributes: Attributes::default(), kind }
}

impl Merged {
    /// Adds what is still to be seen of the next lower layer.
    fn add_below(&mut self, layer: Files<'_>) -> Result<(), WriteError> {
        if self.is_opaque {
            return Ok(());
        }
        let (mut seen, mut is_opaque) = (Vec::new(), false);
        each_batch(layer, |batch| {
            for Found { path, kind, .. } in batch {
                match kind {
                    FoundKind::OpaqueRoot => is_opaque = true,
                    _ if self.hides(&path) => {}
                    kind => seen.push((path, entry_of(&kind))),
                }
            }
            Ok(())
        })?;
        for (path, entry) in seen {
            self.put(path, entry);
        }
        self.is_opaque = is_opaque;
        Ok(())
    }

    /// Whether something above hides whatever is under this path.
    fn hides(&self, path: &[u8]) -> bool {
        let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
        let mut above = slashes.filter_map(|(at, _)| self.entries.get(&path[..at]));
        above.any(|entry| *entry != Entry::Directory { is_opaque: false })
    }

    fn put(&mut self, path: Vec<u8>, below: Entry) {
        let above = self.entries.entry(path).or_insert(below);
        // A directory where there was none, or none of that name any more, begins empty.
        let begins_empty = below != Entry::Directory { is_opaque: false };
        if let (Entry::Directory { is_opaque }, true) = (above, begins_empty) {
            *is_opaque = true;
        }
    }
}

fn entry_of(kind: &FoundKind) -> Entry {
    match kind {
        FoundKind::Directory { is_opaque } => Entry::Directory { is_opaque: *is_opaque },
        FoundKind::Whiteout => Entry::Whiteout,
        _ => Entry::Other,
    }
}
