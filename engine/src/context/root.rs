//! The directory in which a build context is.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cache::{ActiveLayer, Layer};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

/// A build context that can be read.
#[derive(Debug, Clone)]
pub(crate) struct ContextRoot {
    path: PathBuf,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    /// The user's own files.
    Own,
    /// There are none, and the directory may not even exist.
    Empty,
    /// Files from elsewhere, in a layer of the store. Nothing in them leads out.
    Fetched {
        _layer: Layer,
        /// What the Dockerfile is called, where it is the only file.
        dockerfile: Option<&'static str>,
    },
    /// Files from elsewhere, gone with the last handle.
    Passing { _layer: Arc<ActiveLayer> },
}

/// Whether the digests of a context's files are worth keeping.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Index {
    Kept,
    /// The files are never seen again.
    Dropped,
}

impl ContextRoot {
    /// A directory of the user's.
    pub(crate) fn own(path: PathBuf) -> Self {
        Self { path, kind: Kind::Own }
    }

    /// No files; `path` is an empty directory, once the store is there.
    pub(crate) fn empty(path: PathBuf) -> Self {
        Self { path, kind: Kind::Empty }
    }

    /// The files of a layer.
    pub(crate) fn fetched(layer: Layer) -> Self {
        Self { path: layer.fs_path(), kind: Kind::Fetched { _layer: layer, dockerfile: None } }
    }

    /// A layer with one file, which is the Dockerfile.
    pub(crate) fn single_file(layer: Layer, name: &'static str) -> Self {
        Self { path: layer.fs_path(), kind: Kind::Fetched { _layer: layer, dockerfile: Some(name) } }
    }

    /// The files of a layer that is not kept.
    pub(crate) fn passing(layer: ActiveLayer) -> Self {
        Self { path: layer.fs_path(), kind: Kind::Passing { _layer: Arc::new(layer) } }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn index(&self) -> Index {
        match self.kind {
            Kind::Own | Kind::Empty | Kind::Fetched { .. } => Index::Kept,
            Kind::Passing { .. } => Index::Dropped,
        }
    }

    /// Whether the directory has to be one for there to be a context.
    pub(crate) fn is_own(&self) -> bool {
        matches!(self.kind, Kind::Own)
    }

    /// What the Dockerfile is called, where it is the only file.
    pub(crate) fn dockerfile(&self) -> Option<&'static str> {
        match self.kind {
            Kind::Fetched { dockerfile, .. } => dockerfile,
            Kind::Own | Kind::Empty | Kind::Passing { .. } => None,
        }
    }

    /// Where a file of the context is, for messages and for names beside it.
    pub(crate) fn place(&self, name: &Path) -> PathBuf {
        match self.kind {
            Kind::Own => self.path.join(name),
            Kind::Empty | Kind::Fetched { .. } | Kind::Passing { .. } => name.to_owned(),
        }
    }

    /// Opens a file by its [`ContextRoot::place`]. What is not the user's own is resolved beneath the root of
    /// the context, as in a container, and is a regular file.
    pub(crate) fn open(&self, place: &Path) -> io::Result<File> {
        match self.kind {
            Kind::Own => File::open(place),
            Kind::Empty => Err(Errno::NOENT.into()),
            Kind::Fetched { .. } | Kind::Passing { .. } => open_beneath(&self.path, place),
        }
    }
}

fn open_beneath(root: &Path, name: &Path) -> io::Result<File> {
    let root = openat(CWD, root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    // A pipe would never open.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = File::from(openat2(&root, name, flags, Mode::empty(), ResolveFlags::IN_ROOT)?);
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file")),
    }
}
