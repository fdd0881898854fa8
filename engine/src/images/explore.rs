//! What each layer of an image added, changed and wasted.

use std::collections::BTreeMap;

use cache::Store;
use cache::layer::{EntryKind, LayerEntry};
use image::{DiffId, ImageId};

use super::layers::layer_tars;
use super::{ImageError, find, read_config, stored};

/// An image, layer by layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exploration {
    /// The image.
    pub id: ImageId,
    /// From the lowest on.
    pub layers: Vec<ExploredLayer>,
}

/// What one layer did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExploredLayer {
    /// Its digest.
    pub diff_id: DiffId,
    /// The instruction that made it, if the history tells.
    pub created_by: String,
    /// What it did, in the order of the paths. Directories that were there already are left out.
    pub changes: Vec<FileChange>,
}

/// What became of one path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileChange {
    /// From the root of the image, without a slash in front.
    pub path: String,
    /// What happened.
    pub kind: ChangeKind,
    /// Bytes that it has in this layer.
    pub size_bytes: u64,
    /// Bytes of lower layers that nobody sees any more: they stay in the image.
    pub wasted_bytes: u64,
}

/// What happened to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It took the place of something, or became somebody else's.
    Changed,
    /// It is gone.
    Removed,
}

impl Exploration {
    /// Bytes of all files of all layers.
    pub fn size_bytes(&self) -> u64 {
        self.layers.iter().map(ExploredLayer::size_bytes).sum()
    }

    /// Bytes that are in the image, and in no file that it shows.
    pub fn wasted_bytes(&self) -> u64 {
        self.layers.iter().map(ExploredLayer::wasted_bytes).sum()
    }
}

impl ExploredLayer {
    /// Bytes of its files.
    pub fn size_bytes(&self) -> u64 {
        self.changes.iter().map(|change| change.size_bytes).sum()
    }

    /// Bytes of lower layers that it hides.
    pub fn wasted_bytes(&self) -> u64 {
        self.changes.iter().map(|change| change.wasted_bytes).sum()
    }

    /// How many paths had this happen to them.
    pub fn count(&self, kind: ChangeKind) -> usize {
        self.changes.iter().filter(|change| change.kind == kind).count()
    }
}

/// Looks through the layers of an image.
///
/// # Errors
///
/// Those of [`find`]; [`ImageError::Damaged`] when a layer is gone.
pub fn explore(store: &Store, name: &str) -> Result<Exploration, ImageError> {
    let id = find(store, name)?;
    let config = read_config(store, &id)?;
    let with_layer = config.history.iter().filter(|entry| !entry.empty_layer);
    let mut steps: Vec<String> = with_layer.map(|entry| entry.created_by.clone()).collect();
    steps.resize(config.rootfs.diff_ids.len(), String::new());
    let (mut tree, mut layers) = (Tree::default(), Vec::new());
    for (tar, created_by) in layer_tars(store, &stored(store, &id)?, &config)?.iter().zip(steps) {
        let mut changes = Vec::new();
        tar.layer.contents(&mut |entry| changes.extend(tree.apply(entry)))?;
        layers.push(ExploredLayer { diff_id: tar.diff_id, created_by, changes });
    }
    Ok(Exploration { id, layers })
}

/// What the layers so far show.
#[derive(Default)]
struct Tree(BTreeMap<Vec<u8>, Shown>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shown {
    is_directory: bool,
    size_bytes: u64,
    mode: u32,
    owner: (u32, u32),
}

impl Tree {
    fn apply(&mut self, entry: LayerEntry) -> Option<FileChange> {
        let LayerEntry { path, kind, size_bytes, mode, owner } = entry;
        let is_directory = matches!(kind, EntryKind::Directory { .. });
        let old = self.0.get(&path).copied();
        let is_opaque = kind == EntryKind::Directory { is_opaque: true };
        // A directory keeps what is in it, everything else takes the place of it.
        let stays = is_directory && !is_opaque;
        let hidden_bytes = if stays { 0 } else { self.hide_beneath(&path) };
        let new = Shown { is_directory, size_bytes, mode, owner };
        let kind = match (kind, old) {
            (EntryKind::Removal, None) => return None,
            (EntryKind::Removal, Some(_)) => {
                self.0.remove(&path);
                ChangeKind::Removed
            }
            (_, None) if path.is_empty() => return None,
            (_, None) => ChangeKind::Added,
            (EntryKind::Directory { .. }, Some(old)) if old == new && hidden_bytes == 0 => return None,
            (_, Some(_)) => ChangeKind::Changed,
        };
        if kind != ChangeKind::Removed {
            self.0.insert(path.clone(), new);
        }
        let wasted_bytes = hidden_bytes
            + old.filter(|old| !(old.is_directory && is_directory)).map_or(0, |old| old.size_bytes);
        let path = String::from_utf8_lossy(&path).into_owned();
        Some(FileChange { path, kind, size_bytes, wasted_bytes })
    }

    /// Forgets what is beneath a path; how many bytes that were.
    fn hide_beneath(&mut self, path: &[u8]) -> u64 {
        let start = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
        let beneath = self.0.range(start.clone()..).take_while(|(other, _)| other.starts_with(&start));
        let beneath: Vec<Vec<u8>> = beneath.map(|(path, _)| path.clone()).collect();
        beneath.iter().filter_map(|path| self.0.remove(path)).map(|shown| shown.size_bytes).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(path: &str, kind: EntryKind, size_bytes: u64) -> LayerEntry {
        LayerEntry { path: path.into(), kind, size_bytes, mode: 0o644, owner: (0, 0) }
    }

    #[test]
    fn what_is_hidden_is_wasted() {
        let mut tree = Tree::default();
        let directory = EntryKind::Directory { is_opaque: false };
        let mut told = |path: &str, kind, size| {
            let change = tree.apply(entry(path, kind, size));
            change.map_or_else(
                || "nothing".to_owned(),
                |it| format!("{:?} {} {}", it.kind, it.size_bytes, it.wasted_bytes),
            )
        };
        let shown = [
            told("d", directory, 0),
            told("d/a", EntryKind::File, 10),
            told("d/b", EntryKind::File, 20),
            told("da", EntryKind::File, 5),
            told("d", directory, 0),
            told("d/a", EntryKind::File, 11),
            told("d", EntryKind::Directory { is_opaque: true }, 0),
            told("d/a", EntryKind::File, 12),
            told("d", EntryKind::Removal, 0),
            told("d", EntryKind::Removal, 0),
            told("da", EntryKind::Symlink, 0),
        ];
        insta::assert_snapshot!(shown.join("\n"), @"
        Added 0 0
        Added 10 0
        Added 20 0
        Added 5 0
        nothing
        Changed 11 10
        Changed 0 31
        Added 12 0
        Removed 0 12
        nothing
        Changed 0 5
        ");
    }
}
