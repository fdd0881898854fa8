//! One look at a directory tree, by as many threads as there are processors.
//!
//! Directories are opened beneath the context's descriptor without following any link, one at a time per
//! thread. Nothing else is opened, and nothing that the filter excludes is even looked at.

use std::ffi::{CStr, OsStr};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use rustix::fs::{
    AtFlags, FileType, Mode, OFlags, RawDir, ResolveFlags, StatxFlags, openat2, readlinkat, statx,
};
use rustix::io::Errno;

use super::index::Index;
use super::stat::FileStat;
use super::tree::{Directory, Entry};
use super::{ContextError, Decision, Filter};
use crate::processors::processors;
use crate::stamp::lock;

/// Names that one system call lists.
const LISTING_BYTES: usize = 32 << 10;
/// Below this many entries a second thread costs more than it saves: about half a millisecond of work.
const ENTRIES_ALONE_MAX: usize = 300;
/// More threads than this only wait for the file system's locks.
const THREADS_MAX: usize = 16;

/// A directory that is to be listed.
struct Job {
    directory: u32,
    /// Relative to the context, without a slash at either end.
    path: Vec<u8>,
    /// What the index has for it.
    known: Option<u32>,
}

pub(super) struct Walk<'a> {
    pub(super) root: BorrowedFd<'a>,
    pub(super) filter: &'a Filter<'a>,
    pub(super) index: &'a Index,
}

/// What the threads share.
struct Shared<'a, 'b> {
    walk: &'a Walk<'b>,
    queue: Mutex<Queue>,
    changed: Condvar,
    /// Threads that wait for work: a hint, read without the lock.
    waiting: AtomicUsize,
    /// The next directory's number. A child always has a higher number than its parent.
    next: AtomicU32,
    entries: AtomicUsize,
}

/// Work that anybody may take. Threads keep what they find to themselves until somebody waits.
#[derive(Default)]
struct Queue {
    jobs: Vec<Job>,
    /// Threads that have work, and so may find more.
    working: usize,
    error: Option<ContextError>,
}

impl Walk<'_> {
    /// All directories; the root is number 0.
    pub(super) fn run(&self) -> Result<Vec<Directory>, ContextError> {
        let first = Job { directory: 0, path: Vec::new(), known: self.index.root() };
        let shared = Shared {
            walk: self,
            queue: Mutex::new(Queue { jobs: vec![first], ..Queue::default() }),
            changed: Condvar::new(),
            waiting: AtomicUsize::new(0),
            next: AtomicU32::new(1),
            entries: AtomicUsize::new(0),
        };
        let parts = std::thread::scope(|scope| {
            let mut found = Vec::new();
            // Alone at first: most contexts are small.
            shared.work(&mut found, ENTRIES_ALONE_MAX);
            let helpers: Vec<_> = (1..threads().min(lock(&shared.queue).jobs.len() + 1))
                .map(|_| {
                    scope.spawn(|| {
                        let mut found = Vec::new();
                        shared.work(&mut found, usize::MAX);
                        found
                    })
                })
                .collect();
            shared.work(&mut found, usize::MAX);
            let mut parts = vec![found];
            for helper in helpers {
                parts.push(helper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
            }
            parts
        });
        if let Some(error) = lock(&shared.queue).error.take() {
            return Err(error);
        }
        let count = shared.next.load(Ordering::Relaxed) as usize;
        let mut directories: Vec<Directory> =
            std::iter::repeat_with(Directory::default).take(count).collect();
        for (number, directory) in parts.into_iter().flatten() {
            directories[number as usize] = directory;
        }
        Ok(directories)
    }
}

pub(super) fn threads() -> usize {
    processors().min(THREADS_MAX)
}

impl Shared<'_, '_> {
    /// Lists directories until there are no more, or about `entries_max` entries were found in all.
    fn work(&self, found: &mut Vec<(u32, Directory)>, entries_max: usize) {
        let mut listing = Box::new([MaybeUninit::uninit(); LISTING_BYTES]);
        let mut own: Vec<Job> = Vec::new();
        while let Some(first) = self.take() {
            own.push(first);
            while let Some(job) = own.pop() {
                match self.list(&job, &mut listing[..], &mut own) {
                    Ok(directory) => found.push((job.directory, directory)),
                    Err(error) => return self.give_up(error),
                }
                if self.entries.load(Ordering::Relaxed) >= entries_max {
                    let mut queue = lock(&self.queue);
                    queue.jobs.append(&mut own);
                    queue.working -= 1;
                    return;
                }
                self.share(&mut own);
            }
            self.rest();
        }
    }

    /// Waits for work; `None` when everything is done, or in vain.
    fn take(&self) -> Option<Job> {
        let mut queue = lock(&self.queue);
        loop {
            if queue.error.is_some() {
                return None;
            }
            if let Some(job) = queue.jobs.pop() {
                queue.working += 1;
                return Some(job);
            }
            if queue.working == 0 {
                return None;
            }
            self.waiting.fetch_add(1, Ordering::Relaxed);
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            self.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// This thread has nothing to do.
    fn rest(&self) {
        let mut queue = lock(&self.queue);
        queue.working -= 1;
        if queue.working == 0 {
            self.changed.notify_all();
        }
    }

    /// Gives half of the work away when somebody waits: the older half, which is nearer to the root and so
    /// has more below it.
    fn share(&self, own: &mut Vec<Job>) {
        if own.len() > 1 && self.waiting.load(Ordering::Relaxed) > 0 {
            let count = own.len() / 2;
            lock(&self.queue).jobs.extend(own.drain(..count));
            self.changed.notify_all();
        }
    }

    fn give_up(&self, error: ContextError) {
        let mut queue = lock(&self.queue);
        queue.error.get_or_insert(error);
        queue.working -= 1;
        self.changed.notify_all();
    }

    /// Lists one directory. Its directories become jobs in `own`.
    fn list(
        &self,
        job: &Job,
        listing: &mut [MaybeUninit<u8>],
        own: &mut Vec<Job>,
    ) -> Result<Directory, ContextError> {
        let Some(dir) = self.open(job)? else { return Ok(Directory::default()) };
        let mut reader = Reader {
            walk: self.walk,
            dir: dir.as_fd(),
            known: job.known,
            path: if job.path.is_empty() { Vec::new() } else { [job.path.as_slice(), b"/"].concat() },
            directory: Directory::default(),
        };
        let prefix = reader.path.len();
        let mut raw = RawDir::new(&dir, listing);
        while let Some(entry) = raw.next() {
            let entry = entry.map_err(|error| ContextError::read(&job.path, error))?;
            let name = entry.file_name();
            if name != c"." && name != c".." {
                reader.path.truncate(prefix);
                reader.path.extend_from_slice(name.to_bytes());
                reader.add(name, entry.file_type())?;
            }
        }
        reader.path.truncate(prefix);
        let Reader { path, mut directory, .. } = reader;
        directory.path.clone_from(&job.path);
        self.entries.fetch_add(directory.entries.len(), Ordering::Relaxed);
        directory.sort();
        self.match_index(&mut directory, job.known, &path, own);
        Ok(directory)
    }

    /// `None` when it has been removed meanwhile.
    fn open(&self, job: &Job) -> Result<Option<OwnedFd>, ContextError> {
        let path: &[u8] = if job.path.is_empty() { b"." } else { &job.path };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat2(self.walk.root, path, flags, Mode::empty(), BENEATH) {
            Ok(dir) => Ok(Some(dir)),
            Err(Errno::NOENT) => Ok(None),
            // It was a directory when its parent was listed.
            Err(Errno::LOOP | Errno::NOTDIR) => Err(ContextError::changed(&job.path)),
            Err(error) => Err(ContextError::read(&job.path, error)),
        }
    }

    /// Goes through entries and index at once, both sorted by name: files get their digests, directories
    /// their numbers.
    fn match_index(&self, directory: &mut Directory, known: Option<u32>, path: &[u8], own: &mut Vec<Job>) {
        let index = self.walk.index;
        let mut nodes = known.map(|known| index.children(known)).unwrap_or_default();
        let Directory { entries, names, .. } = directory;
        for entry in entries {
            let kind = entry.stat.kind();
            if kind != FileType::RegularFile && kind != FileType::Directory {
                continue;
            }
            let name = entry.name(names);
            while nodes.start < nodes.end && index.node(nodes.start).name < name {
                nodes.start += 1;
            }
            let same =
                (nodes.start < nodes.end && index.node(nodes.start).name == name).then_some(nodes.start);
            if kind == FileType::RegularFile {
                entry.digest = same.and_then(|node| index.node(node).digest_if_same(&entry.stat));
            } else {
                entry.child = self.next.fetch_add(1, Ordering::Relaxed);
                own.push(Job { directory: entry.child, path: [path, name].concat(), known: same });
            }
        }
    }
}

/// Links are followed nowhere, and nothing leads out.
pub(super) const BENEATH: ResolveFlags =
    ResolveFlags::BENEATH.union(ResolveFlags::NO_SYMLINKS).union(ResolveFlags::NO_MAGICLINKS);

/// Collects the entries of one directory.
struct Reader<'a> {
    walk: &'a Walk<'a>,
    dir: BorrowedFd<'a>,
    known: Option<u32>,
    /// Path of the entry at hand.
    path: Vec<u8>,
    directory: Directory,
}

impl Reader<'_> {
    fn add(&mut self, name: &CStr, kind: FileType) -> Result<(), ContextError> {
        // Some file systems do not tell the kind; then it is looked at before the filter is asked.
        let mut stat = None;
        let mut is_directory = kind == FileType::Directory;
        if kind == FileType::Unknown {
            let Some(found) = self.stat(name)? else { return Ok(()) };
            is_directory = found.kind() == FileType::Directory;
            stat = Some(found);
        }
        let decision = (self.walk.filter)(Path::new(OsStr::from_bytes(&self.path)), is_directory);
        if decision == Decision::Exclude || (decision == Decision::DescendOnly && !is_directory) {
            let known = self.known.and_then(|known| self.walk.index.child(known, name.to_bytes()));
            self.directory.excluded.extend(known);
            return Ok(());
        }
        let stat = match stat {
            Some(stat) => stat,
            None => match self.stat(name)? {
                Some(stat) => stat,
                None => return Ok(()),
            },
        };
        let mut entry = Entry::new(stat, self.directory.put_name(name.to_bytes()));
        entry.is_only_descended = decision == Decision::DescendOnly;
        if stat.kind() == FileType::Symlink {
            let target = match readlinkat(self.dir, name, Vec::new()) {
                Ok(target) => target,
                Err(Errno::NOENT | Errno::INVAL) => return Err(ContextError::changed(&self.path)),
                Err(error) => return Err(ContextError::read(&self.path, error)),
            };
            entry.target = self.directory.put_name(target.to_bytes());
        }
        self.directory.entries.push(entry);
        Ok(())
    }

    /// `None` when it has been removed meanwhile.
    fn stat(&self, name: &CStr) -> Result<Option<FileStat>, ContextError> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
        match statx(self.dir, name, flags, StatxFlags::BASIC_STATS) {
            Ok(found) => Ok(Some(FileStat::from(&found))),
            Err(Errno::NOENT) => Ok(None),
            Err(error) => Err(ContextError::read(&self.path, error)),
        }
    }
}
