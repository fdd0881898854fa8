//! Digests of selected files: what the content key of a copy is computed over.

use std::collections::HashMap;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use image::Digest;
use rustix::fs::{FileType, OFlags};

use super::TreeError;
use super::select::{Item, Landing, Selection, not_found, resolve};
use super::source::{Found, Source, Walk, join};
use crate::ContextEntry;
use crate::layer::attributes::{Xattr, is_overlay_xattr};
use crate::layer::content_hash::ContentHash;
use crate::layer::descriptors::{open_beneath, open_directory};
use crate::layer::xattr;
use crate::processors::processors;

const SELECTION_DOMAIN: &str = "selection/v1";
const TREE_DOMAIN: &str = "tree/v1";
const BLOCK_BYTES: usize = 128 << 10;
const THREADS_MAX: usize = 8;
/// Files for which one more thread pays.
const FILES_PER_THREAD_MIN: usize = 8;
/// Bytes of descriptions that are gathered before they are hashed.
const PENDING_BYTES: usize = 16 << 10;

/// The digest of everything at and below `path` in a tree that does not change, with no regard to time:
/// names, kinds, modes, owners, extended attributes, link targets, bytes. Symlinks in `path` are followed
/// inside the tree; those below are not.
pub fn digest(root: BorrowedFd<'_>, path: &Path) -> Result<Digest, TreeError> {
    let source = Source::Directory(root);
    let path = path.as_os_str().as_bytes();
    let (path, found) = resolve(source, path)?.ok_or_else(|| not_found(path))?;
    let selection = Selection { source, landing: Landing::default(), items: Vec::new() };
    let mut digester = Digester::new(&selection, TREE_DOMAIN);
    digester.describe([b"", b""], [&path, b""], &found)?;
    if found.is_directory() {
        source.walk(&path, &mut |below, found| {
            if found.stat.kind() != FileType::Socket {
                digester.describe([b"", below], [&path, below], found)?;
            }
            Ok(Walk::Into)
        })?;
    }
    digester.finish()
}

impl Selection<'_> {
    /// The digest of the files as they land: names below the destination, kinds, modes, owners, link
    /// targets, which are hard links of one another, bytes, and from another stage extended attributes. No
    /// times, and nothing of where the source tree is.
    ///
    /// For a build context the bytes come from its index where that knows them.
    pub fn digest(&self) -> Result<Digest, TreeError> {
        self.described()?.finish()
    }

    /// The same, if no file has to be read for it; `None` otherwise, and for files of another stage.
    pub fn known_digest(&self) -> Result<Option<Digest>, TreeError> {
        let Source::Context(tree) = self.source else { return Ok(None) };
        let digester = self.described()?;
        let Files::Context(entries) = &digester.files else { return Ok(None) };
        if !tree.knows_digests(entries.iter().copied()) {
            return Ok(None);
        }
        digester.finish().map(Some)
    }

    /// All of the files but their bytes.
    fn described(&self) -> Result<Digester<'_, '_>, TreeError> {
        let mut digester = Digester::new(self, SELECTION_DOMAIN);
        let mut batch = 0;
        for item in &self.items {
            if item.batch != batch {
                batch = item.batch;
                digester.links.clear();
            }
            self.digest_item(item, &mut digester)?;
        }
        Ok(digester)
    }

    fn digest_item<'a>(
        &'a self,
        item: &'a Item<'a>,
        digester: &mut Digester<'_, 'a>,
    ) -> Result<(), TreeError> {
        if self.is_excluded(item) {
            return Ok(());
        }
        let mut name = Vec::new();
        for (path, parent) in &item.parents {
            name = join(&name, &parent.name);
            digester.describe([&name, b""], [path, b""], parent)?;
        }
        if !item.found.is_directory() {
            return digester.describe([&name, &item.name], [&item.path, b""], &item.found);
        }
        if self.landing.keeps_parents && !item.name.is_empty() {
            name = join(&name, &item.name);
            digester.describe([&name, b""], [&item.path, b""], &item.found)?;
        }
        if self.landing.keeps_directory {
            digester.describe([&name, b""], [&item.path, b""], &item.found)?;
        }
        self.walk(item, &mut |below, found| digester.describe([&name, below], [&item.path, below], found))
    }
}

/// Hashes descriptions as they come, and the bytes of all files at the end.
struct Digester<'s, 'a> {
    selection: &'s Selection<'a>,
    hash: ContentHash,
    pending: Vec<u8>,
    files: Files<'a>,
    /// The number of the file that each inode with several names was first.
    links: HashMap<(u64, u64), u64>,
    count: u64,
}

enum Files<'a> {
    Context(Vec<ContextEntry<'a>>),
    Paths(Vec<Vec<u8>>),
}

impl<'s, 'a> Digester<'s, 'a> {
    fn new(selection: &'s Selection<'a>, domain: &'static str) -> Self {
        let files = match selection.source {
            Source::Context(_) => Files::Context(Vec::new()),
            Source::Directory(_) => Files::Paths(Vec::new()),
        };
        let hash = ContentHash::new(domain);
        Self { selection, hash, pending: Vec::new(), files, links: HashMap::new(), count: 0 }
    }

    /// Adds all of a file but its bytes. `path` is where it is in the source tree; it and the name come as
    /// directory and rest, because joining them for a hundred thousand files would cost more than hashing.
    fn describe(&mut self, name: [&[u8]; 2], path: [&[u8]; 2], found: &Found<'a>) -> Result<(), TreeError> {
        let attributes = self.selection.attributes(found);
        let kind = found.stat.kind();
        self.put_joined(name);
        self.pending.push(letter(kind));
        for number in [attributes.mode, attributes.uid, attributes.gid] {
            self.pending.extend_from_slice(&number.to_le_bytes());
        }
        match (&found.target, kind) {
            (Some(target), _) => self.put(target),
            (None, FileType::CharacterDevice | FileType::BlockDevice) => {
                self.pending.extend_from_slice(&found.stat.special_device.to_le_bytes());
            }
            (None, FileType::RegularFile) => self.file(path, found),
            (None, FileType::Directory) => self.directory(path)?,
            _ => {}
        }
        if self.pending.len() >= PENDING_BYTES {
            self.flush();
        }
        Ok(())
    }

    fn put_joined(&mut self, [directory, rest]: [&[u8]; 2]) {
        let is_joined = !directory.is_empty() && !rest.is_empty();
        let length = directory.len() + usize::from(is_joined) + rest.len();
        self.pending.extend_from_slice(&(length as u64).to_le_bytes());
        self.pending.extend_from_slice(directory);
        self.pending.extend(is_joined.then_some(b'/'));
        self.pending.extend_from_slice(rest);
    }

    fn put(&mut self, bytes: &[u8]) {
        self.pending.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
        self.pending.extend_from_slice(bytes);
    }

    fn flush(&mut self) {
        self.hash.update(&self.pending);
        self.pending.clear();
    }

    /// Notes the file for later; a further name of one that came before only says so.
    fn file(&mut self, path: [&[u8]; 2], found: &Found<'a>) {
        let mut number = self.count;
        if found.stat.links > 1 {
            number = *self.links.entry((found.stat.device, found.stat.inode)).or_insert(number);
        }
        self.pending.extend_from_slice(&number.to_le_bytes());
        if number < self.count {
            return;
        }
        self.count += 1;
        match &mut self.files {
            Files::Context(entries) => {
                entries.push(found.context.expect("all files of a context are its entries"));
            }
            Files::Paths(paths) => paths.push(join_parts(path)),
        }
    }

    fn directory(&mut self, path: [&[u8]; 2]) -> Result<(), TreeError> {
        let Source::Directory(root) = self.selection.source else { return Ok(()) };
        let path = join_parts(path);
        let failed = |error| TreeError::read(&path, error);
        let directory = open_directory(root, &path).map_err(failed)?;
        let xattrs = xattr::of_descriptor(directory.as_fd()).map_err(failed)?;
        put_xattrs(&mut self.pending, &xattrs);
        Ok(())
    }

    fn finish(mut self) -> Result<Digest, TreeError> {
        self.flush();
        match (&self.files, self.selection.source) {
            (Files::Context(entries), Source::Context(tree)) => {
                tree.hash_files(entries.iter().copied())?;
                for entry in entries {
                    self.hash.update(&tree.digest(*entry)?.0);
                }
            }
            (Files::Paths(paths), source) => {
                for content in read_all(source.root(), paths)? {
                    self.hash.update(&content);
                }
            }
            (Files::Context(_), Source::Directory(_)) => unreachable!("the kind of list follows the source"),
        }
        Ok(self.hash.finish())
    }
}

fn join_parts([directory, rest]: [&[u8]; 2]) -> Vec<u8> {
    if rest.is_empty() { directory.to_vec() } else { join(directory, rest) }
}

fn letter(kind: FileType) -> u8 {
    match kind {
        FileType::RegularFile => b'f',
        FileType::Directory => b'd',
        FileType::Symlink => b'l',
        FileType::Fifo => b'p',
        FileType::CharacterDevice => b'c',
        FileType::BlockDevice => b'b',
        _ => b'?',
    }
}

fn put_xattrs(to: &mut Vec<u8>, xattrs: &[Xattr]) {
    for (name, value) in xattrs.iter().filter(|(name, _)| !is_overlay_xattr(name)) {
        for bytes in [name, value] {
            to.extend_from_slice(&(bytes.len() as u64).to_le_bytes());
            to.extend_from_slice(bytes);
        }
    }
    to.push(b'.');
}

/// What is in each file: its digest and its extended attributes. Reads with all processors.
fn read_all(root: BorrowedFd<'_>, paths: &[Vec<u8>]) -> Result<Vec<Vec<u8>>, TreeError> {
    if paths.is_empty() {
        return Ok(Vec::new());
    }
    let next = AtomicUsize::new(0);
    let contents = Mutex::new(vec![Vec::new(); paths.len()]);
    let failed = Mutex::new(None);
    let work = || {
        let mut block = vec![0; BLOCK_BYTES];
        while let Some((at, path)) = claim(&next, paths) {
            match read_one(root, path, &mut block) {
                Ok(content) => contents.lock().unwrap_or_else(PoisonError::into_inner)[at] = content,
                Err(error) => {
                    next.store(paths.len(), Ordering::Relaxed);
                    failed.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                }
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 1..processors().min(THREADS_MAX).min(paths.len() / FILES_PER_THREAD_MIN) {
            scope.spawn(work);
        }
        work();
    });
    match failed.into_inner().unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => Ok(contents.into_inner().unwrap_or_else(PoisonError::into_inner)),
    }
}

fn claim<'p>(next: &AtomicUsize, paths: &'p [Vec<u8>]) -> Option<(usize, &'p Vec<u8>)> {
    let at = next.fetch_add(1, Ordering::Relaxed);
    paths.get(at).map(|path| (at, path))
}

fn read_one(root: BorrowedFd<'_>, path: &[u8], block: &mut [u8]) -> Result<Vec<u8>, TreeError> {
    let failed = |error| TreeError::read(path, error);
    let file = open_beneath(root, path, OFlags::RDONLY | OFlags::NOFOLLOW).map_err(failed)?;
    let xattrs = xattr::of_descriptor(file.as_fd()).map_err(failed)?;
    let mut hash = blake3::Hasher::new();
    loop {
        match rustix::io::read(&file, &mut *block) {
            Ok(0) => break,
            Ok(count) => drop(hash.update(&block[..count])),
            Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    let mut content = hash.finalize().as_bytes().to_vec();
    put_xattrs(&mut content, &xattrs);
    Ok(content)
}
