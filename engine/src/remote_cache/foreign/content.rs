//! Digests of files of a build context, as BuildKit makes them: of their headers in a tar, without times, and their
//! content.

use std::collections::{HashMap, VecDeque};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Mutex;

use cache::{ContextEntry, ContextError, ContextTree};
use image::Digest;
use rustix::fs::FileType;

use super::json::Dialect;
use super::node::{Selector, digest_of_list};

/// As many links as BuildKit follows in one path.
const LINKS_MAX: usize = 255;
/// What of a mode is in the header of a tar.
const MODE_BITS: u32 = 0o7777;

/// Digests of regular files that are known.
pub(super) type FileDigests = Mutex<HashMap<PathBuf, Digest>>;

type Result<T> = std::result::Result<T, ContextError>;

/// A place in a context.
#[derive(Clone, Copy)]
enum At<'a> {
    Root,
    Entry(ContextEntry<'a>),
}

/// A context with what is known of it.
struct Files<'a> {
    tree: &'a ContextTree,
    known: &'a FileDigests,
    dialect: Dialect,
}

/// The digest of what is read; none when something of it is not there, or is changing.
pub(super) fn checksum(
    tree: &ContextTree,
    known: &FileDigests,
    (selectors, dialect): (&[Selector], Dialect),
) -> Result<Option<Digest>> {
    let files = Files { tree, known, dialect };
    let mut digests = Vec::with_capacity(selectors.len());
    for selector in selectors {
        let digest = match selector.is_pattern {
            true => files.matching(&selector.path)?,
            false => files.at(Path::new(&selector.path), selector.follows_links)?,
        };
        match digest {
            Some(digest) => digests.push(digest.to_string()),
            None => return Ok(None),
        }
    }
    Ok(Some(digest_of_list(&digests)))
}

impl<'a> Files<'a> {
    fn at(&self, path: &Path, follows_links: bool) -> Result<Option<Digest>> {
        match self.resolve(path, follows_links) {
            Some(At::Root) => self.directory(Digest::of(b""), self.tree.children()),
            Some(At::Entry(entry)) => self.entry(entry),
            None => Ok(None),
        }
    }

    /// What a path names. Links on the way are followed, and do not lead out.
    fn resolve(&self, path: &Path, follows_last: bool) -> Option<At<'a>> {
        let mut left: VecDeque<PathBuf> = parts(path);
        let (mut current, mut links) = (PathBuf::new(), 0);
        while let Some(part) = left.pop_front() {
            if part == Path::new("..") {
                current.pop();
                continue;
            }
            let next = current.join(&part);
            let entry = self.tree.entry(&next)?;
            match entry.target() {
                Some(target) if follows_last || !left.is_empty() => {
                    links += 1;
                    if links > LINKS_MAX {
                        return None;
                    }
                    if target.is_absolute() {
                        current = PathBuf::new();
                    }
                    parts(target).into_iter().rev().for_each(|part| left.push_front(part));
                }
                _ => current = next,
            }
        }
        if current.as_os_str().is_empty() {
            return Some(At::Root);
        }
        self.tree.entry(&current).map(At::Entry)
    }

    /// The digest of something with all that is below it.
    fn entry(&self, entry: ContextEntry<'a>) -> Result<Option<Digest>> {
        match entry.kind() {
            FileType::Directory => self.directory(Digest::of(&header(entry, 0)), entry.children()),
            FileType::Symlink => Ok(Some(Digest::of(&header(entry, 0)))),
            FileType::RegularFile => self.file(entry),
            _ => Ok(None),
        }
    }

    fn directory(
        &self,
        header: Digest,
        children: impl Iterator<Item = ContextEntry<'a>>,
    ) -> Result<Option<Digest>> {
        let mut bytes = format!("\0{header}").into_bytes();
        for child in children {
            let Some(digest) = self.entry(child)? else { return Ok(None) };
            bytes.push(0);
            bytes.extend_from_slice(child.name().as_bytes());
            bytes.extend_from_slice(digest.to_string().as_bytes());
        }
        Ok(Some(Digest::of(&bytes)))
    }

    fn file(&self, entry: ContextEntry<'_>) -> Result<Option<Digest>> {
        let path = entry.path();
        if let Some(known) = self.known.lock().expect("no holder of the lock panics").get(&path) {
            return Ok(Some(*known));
        }
        let digest = self.tree.digest_after(entry, |size_bytes| header(entry, size_bytes))?;
        if let Some(digest) = digest {
            self.known.lock().expect("no holder of the lock panics").insert(path, digest);
        }
        Ok(digest)
    }

    /// The digest of all that matches a pattern: the names, the headers of directories, and files.
    fn matching(&self, pattern: &str) -> Result<Option<Digest>> {
        let parts: Vec<&str> = pattern.split('/').filter(|part| !part.is_empty()).collect();
        let fixed = parts.iter().position(|part| super::file::is_pattern(part)).unwrap_or(parts.len());
        let mut found: Vec<(Vec<u8>, Digest)> = Vec::new();
        let start = self.resolve(Path::new(&parts[..fixed].join("/")), true);
        let children: Vec<ContextEntry<'a>> = match start {
            Some(At::Root) => self.tree.children().collect(),
            Some(At::Entry(entry)) => entry.children().collect(),
            None => Vec::new(),
        };
        if self.matched(children, &parts[fixed..], &mut found)?.is_none() {
            return Ok(None);
        }
        match &found[..] {
            [] => Ok(Some(Digest::of(b""))),
            [(name, digest)] if parts.last().is_some_and(|last| last.as_bytes() == name) => Ok(Some(*digest)),
            found => {
                let of = |(name, digest): &(Vec<u8>, Digest)| {
                    [name.as_slice(), digest.to_string().as_bytes()].concat()
                };
                let all: Vec<Vec<u8>> = found.iter().map(of).collect();
                Ok(Some(Digest::of(&all.join(&0))))
            }
        }
    }

    /// Goes down as far as the pattern does; none when something cannot be digested.
    fn matched(
        &self,
        entries: Vec<ContextEntry<'a>>,
        parts: &[&str],
        found: &mut Vec<(Vec<u8>, Digest)>,
    ) -> Result<Option<()>> {
        let Some((part, rest)) = parts.split_first() else { return Ok(Some(())) };
        for entry in entries {
            match cache::tree::name_matches(part.as_bytes(), entry.name().as_bytes()) {
                None => return Ok(None),
                Some(false) => continue,
                Some(true) => {}
            }
            let found_all = match rest {
                [] => self.all_of(entry, true, found)?,
                rest => self.matched(entry.children().collect(), rest, found)?,
            };
            if found_all.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// Something that `matches`, or is below what does, with all that is below it. Links are followed where they match; once
    /// all were.
    fn all_of(
        &self,
        entry: ContextEntry<'a>,
        matches: bool,
        found: &mut Vec<(Vec<u8>, Digest)>,
    ) -> Result<Option<()>> {
        let follows = matches || self.dialect == Dialect::Early;
        let digest = match entry.kind() {
            FileType::Directory => Some(Digest::of(&header(entry, 0))),
            FileType::Symlink if follows => self.at(&entry.path(), true)?,
            _ => self.entry(entry)?,
        };
        let Some(digest) = digest else { return Ok(None) };
        found.push((entry.name().as_bytes().to_vec(), digest));
        for child in entry.children() {
            if self.all_of(child, false, found)?.is_none() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }
}

fn parts(path: &Path) -> VecDeque<PathBuf> {
    let part = |component: Component<'_>| match component {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some(PathBuf::from("..")),
        _ => None,
    };
    path.components().filter_map(part).collect()
}

/// The header of a file that is root's, as one piece of text: names and values, and neither the name of the file nor its time.
fn header(entry: ContextEntry<'_>, size_bytes: u64) -> Vec<u8> {
    let kind = match entry.kind() {
        FileType::Directory => '5',
        FileType::Symlink => '2',
        _ => '0',
    };
    let mode = entry.stat().mode & MODE_BITS;
    let mut header = format!("namemode{mode}uid0gid0size{size_bytes}typeflag{kind}linkname").into_bytes();
    if let Some(target) = entry.target() {
        header.extend_from_slice(target.as_os_str().as_bytes());
    }
    header.extend_from_slice(b"unamegnamedevmajor0devminor0");
    header
}
