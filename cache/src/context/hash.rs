//! Reads files of a context whose content is not known yet.

use std::fs::File;
use std::io::Read;
use std::os::fd::AsFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use image::{Digest, Sha256};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatxFlags, openat2, statx};
use rustix::io::Errno;

use super::ContextError;
use super::stat::FileStat;
use super::tree::{ContextEntry, ContextTree, Place};
use super::walk::{BENEATH, threads};
use crate::stamp::lock;

/// Block in which files are read.
const BLOCK_BYTES: usize = 256 << 10;
/// How often a file that changes while it is read is read again.
const ATTEMPTS_MAX: usize = 4;
/// Files for which one more thread pays.
const FILES_PER_THREAD_MIN: usize = 8;

/// What was learned by reading a file.
#[derive(Clone)]
pub(super) struct Learned {
    /// What the file looked like before and after it was read, if not as when it was found: there may be a million.
    changed: Option<Box<FileStat>>,
    pub(super) digest: Digest,
    /// Whether the index may believe it.
    pub(super) is_settled: bool,
}

impl Learned {
    /// What the file looked like when it was read.
    pub(super) fn stat(&self, found: &FileStat) -> FileStat {
        self.changed.as_deref().copied().unwrap_or(*found)
    }
}

impl ContextTree {
    /// BLAKE3 digest of a regular file's content: from the index when the file looks as it did then, or by reading
    /// it now. Once given, the answer stays the same for this tree.
    ///
    /// # Errors
    ///
    /// [`ContextError::Changed`] when the file keeps changing while it is read, or is no regular file.
    pub fn digest(&self, entry: ContextEntry<'_>) -> Result<Digest, ContextError> {
        if let Some(digest) = self.known_digest(entry.place) {
            return Ok(digest);
        }
        let mut block = vec![0; BLOCK_BYTES];
        self.learn(entry, &mut block)
    }

    /// Whether [`Self::digest`] of all regular files among `entries` reads nothing.
    pub fn knows_digests<'a>(&self, entries: impl IntoIterator<Item = ContextEntry<'a>>) -> bool {
        let mut files = entries.into_iter().filter(|entry| entry.kind() == FileType::RegularFile);
        files.all(|entry| self.known_digest(entry.place).is_some())
    }

    /// Makes the digests of all regular files among `entries` known, with all processors.
    pub fn hash_files<'a>(
        &self,
        entries: impl IntoIterator<Item = ContextEntry<'a>>,
    ) -> Result<(), ContextError> {
        let unknown: Vec<Place> = entries
            .into_iter()
            .filter(|entry| entry.kind() == FileType::RegularFile)
            .map(|entry| entry.place)
            .filter(|place| self.known_digest(*place).is_none())
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let next = AtomicUsize::new(0);
        let failed = Mutex::new(None);
        let work = || {
            let mut block = vec![0; BLOCK_BYTES];
            while let Some(place) = unknown.get(next.fetch_add(1, Ordering::Relaxed)) {
                if let Err(error) = self.learn(self.at(*place), &mut block) {
                    next.store(unknown.len(), Ordering::Relaxed);
                    lock(&failed).get_or_insert(error);
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 1..threads().min(unknown.len() / FILES_PER_THREAD_MIN) {
                scope.spawn(work);
            }
            work();
        });
        match failed.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// The first of `entries` that does not look any more as it did when it was found, or hashed: what was
    /// read from it since then may not be what its digest says.
    pub fn changed_since<'a>(
        &self,
        entries: impl IntoIterator<Item = ContextEntry<'a>>,
    ) -> Result<Option<PathBuf>, ContextError> {
        for entry in entries {
            let expected =
                lock(&self.learned).get(&entry.place).map_or(*entry.stat(), |it| it.stat(entry.stat()));
            let path = entry.path();
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let found = openat2(&self.root, &path, flags, Mode::empty(), BENEATH)
                .and_then(|file| statx(file, c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS));
            let is_same = match found {
                Ok(found) if entry.kind() == FileType::Directory => {
                    FileStat::from(&found).mode == expected.mode
                }
                Ok(found) => FileStat::from(&found).is_same_content(&expected),
                Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR) => false,
                Err(error) => return Err(ContextError::read(path.as_os_str().as_bytes(), error)),
            };
            if !is_same {
                return Ok(Some(path));
            }
        }
        Ok(None)
    }

    fn known_digest(&self, place: Place) -> Option<Digest> {
        let from_index = self.at(place).entry().digest;
        from_index.or_else(|| lock(&self.learned).get(&place).map(|learned| learned.digest))
    }

    fn learn(&self, entry: ContextEntry<'_>, block: &mut [u8]) -> Result<Digest, ContextError> {
        let learned = self.read(entry, block)?;
        // Somebody else may have read it at the same time: one answer for all.
        Ok(lock(&self.learned).entry(entry.place).or_insert(learned).digest)
    }

    /// SHA-256 of a header that depends on the size, and the content of a regular file, which is read now; none when
    /// the file is not any more what [`Self::digest`] has told about it.
    ///
    /// # Errors
    ///
    /// [`ContextError::Changed`] when it is no regular file any more.
    pub fn digest_after(
        &self,
        entry: ContextEntry<'_>,
        header: impl Fn(u64) -> Vec<u8>,
    ) -> Result<Option<Digest>, ContextError> {
        let path = entry.path();
        let bytes = path.as_os_str().as_bytes();
        let (file, stat) = self.open(&path)?;
        let mut hash = Sha256::new();
        hash.update(&header(stat.size_bytes));
        let mut block = vec![0; BLOCK_BYTES];
        let is_whole = read_all(&file, stat.size_bytes, &mut block, |part| hash.update(part))
            .map_err(|source| ContextError::Read { path: path.clone(), source })?;
        let after = look_at(&file).map_err(|error| ContextError::read(bytes, error))?;
        let expected =
            lock(&self.learned).get(&entry.place).map_or(*entry.stat(), |it| it.stat(entry.stat()));
        let is_same = stat.is_same_content(&expected) && stat.is_same_content(&after);
        Ok((is_whole && is_same).then(|| hash.finish()))
    }

    /// A regular file, with what it looks like.
    fn open(&self, path: &Path) -> Result<(File, FileStat), ContextError> {
        let bytes = path.as_os_str().as_bytes();
        // Not blocking: if a FIFO has taken the file's place, this must not wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat2(&self.root, path, flags, Mode::empty(), BENEATH) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT | Errno::LOOP | Errno::NOTDIR | Errno::NXIO) => {
                return Err(ContextError::changed(bytes));
            }
            Err(error) => return Err(ContextError::read(bytes, error)),
        };
        let stat = look_at(&file).map_err(|error| ContextError::read(bytes, error))?;
        match stat.kind() {
            FileType::RegularFile => Ok((file, stat)),
            _ => Err(ContextError::changed(bytes)),
        }
    }

    fn read(&self, entry: ContextEntry<'_>, block: &mut [u8]) -> Result<Learned, ContextError> {
        let path = entry.path();
        let bytes = path.as_os_str().as_bytes();
        for _ in 0..ATTEMPTS_MAX {
            let now = SystemTime::now();
            let (file, stat) = self.open(&path)?;
            let digest = hash(&file, stat.size_bytes, block)
                .map_err(|source| ContextError::Read { path: path.clone(), source })?;
            let after = look_at(&file).map_err(|error| ContextError::read(bytes, error))?;
            if let Some(digest) = digest
                && stat.is_same_content(&after)
            {
                let changed = (stat != *entry.stat()).then(|| Box::new(stat));
                return Ok(Learned { changed, digest, is_settled: stat.is_settled(now) });
            }
        }
        Err(ContextError::changed(bytes))
    }
}

fn look_at(file: &File) -> rustix::io::Result<FileStat> {
    statx(file.as_fd(), c"", AtFlags::EMPTY_PATH, StatxFlags::BASIC_STATS).map(|found| FileStat::from(&found))
}

/// `None` when the file has another size than it said.
fn hash(file: &File, size_bytes: u64, block: &mut [u8]) -> std::io::Result<Option<Digest>> {
    let mut hash = blake3::Hasher::new();
    let is_whole = read_all(file, size_bytes, block, |part| {
        hash.update(part);
    })?;
    Ok(is_whole.then(|| Digest(hash.finalize().into())))
}

/// Reads a file to its end. False when it has another size than it said.
fn read_all(
    mut file: &File,
    size_bytes: u64,
    block: &mut [u8],
    mut take: impl FnMut(&[u8]),
) -> std::io::Result<bool> {
    let mut left = size_bytes;
    while left > 0 {
        let count = match file.read(block) {
            Ok(count) => count,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        if count == 0 || count as u64 > left {
            return Ok(false);
        }
        take(&block[..count]);
        left -= count as u64;
    }
    Ok(true)
}
