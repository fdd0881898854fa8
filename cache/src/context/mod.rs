//! The build context: one parallel look at a directory, and a memory of what its files contain.
//!
//! The context is read in place. [`ContextIndex::scan`] stats every file that the filter lets through, and
//! the index of the last build answers for the content of those that look the same.

mod hash;
mod index;
mod save;
mod stat;
mod tree;
mod walk;

use std::collections::HashMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use image::Digest;
use rustix::fs::{CWD, Mode, OFlags, openat, readlinkat};
use rustix::io::Errno;

pub(crate) use index::check_index;
pub use stat::{FileStat, FileTime};
pub use tree::{ContextEntries, ContextEntry, ContextTree};

use self::index::Index;
use self::walk::Walk;
use crate::{Store, StoreError};

/// What a filter says about a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It belongs to the context, and for a directory the filter is asked about what is in it.
    Include,
    /// Neither it nor anything below it belongs to the context: it is not opened and not looked at.
    Exclude,
    /// The directory does not belong to the context by itself, but something below it may. It is there if
    /// that is so. For anything but a directory this is the same as [`Decision::Exclude`].
    DescendOnly,
}

/// Decides what belongs to the context. Called with the path relative to the context and whether that is a
/// directory; from several threads, in no order, but for a directory before what is in it.
pub type Filter<'a> = dyn Fn(&Path, bool) -> Decision + Sync + 'a;

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// A file or directory cannot be read. The path is relative to the context; it is the context's own
    /// path when that cannot be opened.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// What was read.
        path: PathBuf,
        /// The kernel's answer.
        source: io::Error,
    },
    /// A file changes faster than it can be read, or became another kind of file.
    #[error("`{}` changed while it was read", path.display())]
    Changed {
        /// Path relative to the context.
        path: PathBuf,
    },
    /// The store has an error.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ContextError {
    fn read(path: &[u8], error: Errno) -> Self {
        let path = if path.is_empty() { PathBuf::from(".") } else { to_path(path) };
        Self::Read { path, source: error.into() }
    }

    fn changed(path: &[u8]) -> Self {
        Self::Changed { path: to_path(path) }
    }
}

fn to_path(bytes: &[u8]) -> PathBuf {
    OsString::from_vec(bytes.to_owned()).into()
}

/// A build context together with what the store remembers about it.
#[derive(Debug)]
pub struct ContextIndex {
    store: Store,
    name: String,
    root: Arc<OwnedFd>,
}

impl Store {
    /// Opens a directory as a build context.
    pub fn context_index(&self, context: &Path) -> Result<ContextIndex, ContextError> {
        let read_error = |error: Errno| ContextError::Read { path: context.to_owned(), source: error.into() };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = openat(CWD, context, flags, Mode::empty()).map_err(read_error)?;
        // The kernel's name for it: absolute and without links, however it was given.
        let link = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&root));
        let real_path = readlinkat(CWD, link, Vec::new()).map_err(read_error)?;
        let name = format!("contexts/{}", Digest::of(real_path.to_bytes()).hex());
        Ok(ContextIndex { store: self.clone(), name, root: Arc::new(root) })
    }
}

impl ContextIndex {
    /// The context's root directory.
    pub fn root(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Looks at everything that `filter` lets through.
    ///
    /// Links are not followed; FIFOs, sockets and devices are entries like any other and are never opened.
    /// What appears or vanishes while this runs may or may not be in the result.
    pub fn scan(&self, filter: &Filter<'_>) -> Result<ContextTree, ContextError> {
        let index = Index::load(self.store.disk(), &self.name)?;
        let directories = Walk { root: self.root(), filter, index: &index }.run()?;
        let mut tree = ContextTree {
            store: self.store.clone(),
            index_name: self.name.clone(),
            index,
            root: self.root.clone(),
            directories,
            learned: Mutex::new(HashMap::new()),
        };
        tree.prune();
        Ok(tree)
    }
}
