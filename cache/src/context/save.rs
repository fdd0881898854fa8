//! Writes what was learned about a context back to its index.

use image::Digest;
use rustix::fs::FileType;

use super::index::{Builder, Index};
use super::stat::FileStat;
use super::tree::{ContextTree, Directory, Place, ROOT};
use crate::StoreError;
use crate::stamp::lock;

/// Where a directory of the new index comes from.
enum Source {
    /// This look at the context.
    Tree(u32),
    /// The old index: the filter excludes the directory now.
    Old(u32),
}

impl ContextTree {
    /// Keeps what was learned, for the next look; whether there was anything to keep. Does not sync.
    ///
    /// What the index knows about files that this tree's filter excludes stays in it, so that builds with
    /// different filters on one context do not drive each other's knowledge out.
    pub fn save(&self) -> Result<bool, StoreError> {
        if !lock(&self.learned).values().any(|learned| learned.is_settled) {
            return Ok(false);
        }
        self.store.publish(&self.index_name, &self.encode())?;
        Ok(true)
    }

    /// Breadth first, so that the children of each directory are adjacent.
    fn encode(&self) -> Vec<u8> {
        let entries = self.directories.iter().map(|directory| directory.entries.len());
        let mut builder = Builder::new(1 + entries.sum::<usize>());
        builder.add_directory(b"");
        let mut open = std::collections::VecDeque::from([(0, Source::Tree(ROOT))]);
        while let Some((node, source)) = open.pop_front() {
            let first = builder.count();
            match source {
                Source::Tree(number) => self.add_directory(&mut builder, number, &mut open),
                Source::Old(old) => {
                    for child in self.index.children(old) {
                        add_old(&self.index, child, &mut builder, &mut open);
                    }
                }
            }
            builder.set_children(node, first);
        }
        builder.finish()
    }

    fn add_directory(
        &self,
        builder: &mut Builder,
        number: u32,
        open: &mut std::collections::VecDeque<(u32, Source)>,
    ) {
        let directory = &self.directories[number as usize];
        let Directory { entries, names, excluded, .. } = directory;
        let mut excluded = excluded.iter().copied().peekable();
        for (at, entry) in entries.iter().enumerate() {
            let name = entry.name(names);
            while let Some(old) = excluded.next_if(|old| self.index.node(*old).name < name) {
                add_old(&self.index, old, builder, open);
            }
            if entry.stat.kind() == FileType::Directory {
                open.push_back((builder.add_directory(name), Source::Tree(entry.child)));
            }
            let at = u32::try_from(at).expect("a directory has fewer than 2^32 entries");
            if let Some((stat, digest)) = self.believed(Place { directory: number, at }) {
                builder.add_file(name, &stat, &digest);
            }
        }
        for old in excluded {
            add_old(&self.index, old, builder, open);
        }
    }

    /// What may go into the index about a file.
    fn believed(&self, place: Place) -> Option<(FileStat, Digest)> {
        let entry = self.at(place).entry();
        if let Some(digest) = entry.digest {
            return Some((entry.stat, digest));
        }
        let learned = lock(&self.learned).get(&place)?.clone();
        learned.is_settled.then(|| (learned.stat(&entry.stat), learned.digest))
    }
}

fn add_old(
    index: &Index,
    old: u32,
    builder: &mut Builder,
    open: &mut std::collections::VecDeque<(u32, Source)>,
) {
    let node = index.node(old);
    if node.is_directory() {
        open.push_back((builder.add_directory(node.name), Source::Old(old)));
    } else {
        builder.add_copy(&node);
    }
}
