//! The directory in which a build context is.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cache::{ActiveLayer, Layer};
use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, openat, openat2};
use rustix::io::Errno;

use super::{ClientFiles, OnBytes};

/// A build context that can be read.
#[derive(Debug, Clone)]
pub(crate) struct ContextRoot {
    path: PathBuf,
    kind: Kind,
    made: Made,
}

/// When files were made, as far as where they are from tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Made {
    Untold,
    /// Seconds since 1970.
    At(i64),
    /// When the newest of them was changed.
    WithNewest,
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
    /// Files of a client, which are not here yet.
    Promised(ClientFiles),
    /// Files of a client. Links in them may lead anywhere.
    Brought(ClientFiles),
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
        Self { path, kind: Kind::Own, made: Made::Untold }
    }

    /// Files of a client, see [`ContextRoot::brought`].
    pub(crate) fn promised(files: ClientFiles) -> Self {
        Self { path: PathBuf::new(), kind: Kind::Promised(files), made: Made::Untold }
    }

    /// The same when its files are here.
    pub(crate) async fn brought(self, on_bytes: OnBytes) -> io::Result<Self> {
        let Kind::Promised(files) = self.kind else { return Ok(self) };
        let path = files.files.bring(on_bytes).await?;
        Ok(Self { path, kind: Kind::Brought(files), made: self.made })
    }

    /// The files of a client.
    pub(crate) fn of_client(&self) -> Option<&ClientFiles> {
        match &self.kind {
            Kind::Promised(files) | Kind::Brought(files) => Some(files),
            Kind::Own | Kind::Empty | Kind::Fetched { .. } | Kind::Passing { .. } => None,
        }
    }

    /// No files; `path` is an empty directory, once the store is there.
    pub(crate) fn empty(path: PathBuf) -> Self {
        Self { path, kind: Kind::Empty, made: Made::Untold }
    }

    /// The files of a layer.
    pub(crate) fn fetched(layer: Layer) -> Result<Self, cache::StoreError> {
        let path = layer.fs_path()?;
        Ok(Self { path, kind: Kind::Fetched { _layer: layer, dockerfile: None }, made: Made::Untold })
    }

    /// The files of a commit, and when it was made.
    pub(crate) fn commit(layer: Layer, committed_unix_s: Option<i64>) -> Result<Self, cache::StoreError> {
        Ok(Self { made: committed_unix_s.map_or(Made::Untold, Made::At), ..Self::fetched(layer)? })
    }

    /// The files of an archive, and when that was changed; nothing before 1970 is told.
    pub(crate) fn archive(layer: Layer, modified_unix_s: i64) -> Result<Self, cache::StoreError> {
        let made = if modified_unix_s > 0 { Made::At(modified_unix_s) } else { Made::WithNewest };
        Ok(Self { made, ..Self::fetched(layer)? })
    }

    /// A layer with one file, which is the Dockerfile.
    pub(crate) fn single_file(layer: Layer, name: &'static str) -> Result<Self, cache::StoreError> {
        let path = layer.fs_path()?;
        let modified = fs::metadata(path.join(name)).map_or(0, |file| file.mtime());
        let made = if modified > 0 { Made::At(modified) } else { Made::Untold };
        Ok(Self { path, kind: Kind::Fetched { _layer: layer, dockerfile: Some(name) }, made })
    }

    /// The files of a layer that is not kept.
    pub(crate) fn passing(layer: ActiveLayer) -> Self {
        let path = layer.fs_path();
        Self { path, kind: Kind::Passing { _layer: Arc::new(layer) }, made: Made::WithNewest }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// When the files were made, seconds since 1970; none for the user's own.
    pub(crate) fn made_unix_s(&self) -> Option<i64> {
        match self.made {
            Made::Untold => None,
            Made::At(time) => Some(time),
            Made::WithNewest => newest_unix_s(&self.path),
        }
    }

    pub(crate) fn index(&self) -> Index {
        match self.kind {
            Kind::Own | Kind::Empty | Kind::Fetched { .. } | Kind::Promised(_) | Kind::Brought(_) => {
                Index::Kept
            }
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
            Kind::Own | Kind::Empty | Kind::Passing { .. } | Kind::Promised(_) | Kind::Brought(_) => None,
        }
    }

    /// Whether there are no files, because the Dockerfile came alone.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(self.kind, Kind::Empty)
    }

    /// Where a file of the context is, for messages and for names beside it.
    pub(crate) fn place(&self, name: &Path) -> PathBuf {
        match self.kind {
            Kind::Own => self.path.join(name),
            _ => name.to_owned(),
        }
    }

    /// Opens a file by its [`ContextRoot::place`]. What is not the user's own is resolved beneath the root of
    /// the context, as in a container, and is a regular file.
    pub(crate) fn open(&self, place: &Path) -> io::Result<File> {
        match self.kind {
            Kind::Own => File::open(place),
            Kind::Empty | Kind::Promised(_) => Err(Errno::NOENT.into()),
            Kind::Fetched { .. } | Kind::Passing { .. } | Kind::Brought(_) => open_beneath(&self.path, place),
        }
    }
}

/// When the newest regular file of a tree was changed; none when there is none.
pub(crate) fn newest_unix_s(tree: &Path) -> Option<i64> {
    let entries = walkdir::WalkDir::new(tree).into_iter().flatten();
    let files = entries.filter(|entry| entry.file_type().is_file());
    files.filter_map(|entry| entry.metadata().ok()).map(|file| file.mtime()).max()
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
