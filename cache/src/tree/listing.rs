//! Lists selected files, to tell people later which of them changed.

use std::path::{Path, PathBuf};

use image::Digest;
use rustix::fs::FileType;

use super::TreeError;
use super::select::Selection;
use super::source::{Found, Source, join};

/// A file that a copy takes, as it lands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Where it is in the source tree.
    pub path: PathBuf,
    /// What it is, as in `ls -l`: `-`, `d`, `l`, ...
    pub kind: char,
    /// Permission bits.
    pub mode: u32,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Bytes of a regular file.
    pub size_bytes: u64,
    /// Where a symbolic link leads.
    pub target: Option<PathBuf>,
    /// Digest of a file's bytes; of a file of a build context only.
    pub content: Option<Digest>,
}

impl Selection<'_> {
    /// The first `count_max` files of the selection, and whether these are all. No file is read that the
    /// index of a build context knows.
    pub fn listing(&self, count_max: usize) -> Result<(Vec<Listed>, bool), TreeError> {
        let mut listed = Vec::new();
        let mut is_whole = true;
        for item in self.items.iter().filter(|item| !self.is_excluded(item)) {
            let mut add = |path: &[u8], found: &Found<'_>| {
                if listed.len() < count_max {
                    listed.push(self.listed(path, found)?);
                } else {
                    is_whole = false;
                }
                Ok(())
            };
            if item.found.is_directory() {
                self.walk(item, &mut |below, found| add(&join(&item.path, below), found))?;
            } else {
                add(&item.path, &item.found)?;
            }
        }
        Ok((listed, is_whole))
    }

    fn listed(&self, path: &[u8], found: &Found<'_>) -> Result<Listed, TreeError> {
        let attributes = self.attributes(found);
        let kind = found.stat.kind();
        let content = match (self.source, found.context) {
            (Source::Context(tree), Some(entry)) if kind == FileType::RegularFile => {
                Some(tree.digest(entry)?)
            }
            _ => None,
        };
        Ok(Listed {
            path: to_path(path),
            kind: letter(kind),
            mode: attributes.mode,
            owner: (attributes.uid, attributes.gid),
            size_bytes: if kind == FileType::RegularFile { found.stat.size_bytes } else { 0 },
            target: found.target.as_deref().map(to_path),
            content,
        })
    }
}

fn to_path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    Path::new(std::ffi::OsStr::from_bytes(bytes)).to_owned()
}

fn letter(kind: FileType) -> char {
    match kind {
        FileType::Directory => 'd',
        FileType::Symlink => 'l',
        FileType::Fifo => 'p',
        FileType::CharacterDevice => 'c',
        FileType::BlockDevice => 'b',
        FileType::Socket => 's',
        _ => '-',
    }
}
