//! The jobs that a layer directory in the making hands to other threads.

use std::fs::File;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;

use super::attributes::Attributes;
use super::descriptors::open_directory;
use super::make::{self, Ambient, MakeError, NoteSink, Place};
use super::read::text;
use super::source::{CopyError, CopySource};
use super::sparse::Extent;

/// Makes one file, or gives one directory its attributes.
pub(crate) struct Job {
    /// The directory of the file; for [`Content::Directory`] the root of the layer.
    pub(crate) directory: Arc<OwnedFd>,
    /// The path inside the layer.
    pub(crate) path: Vec<u8>,
    pub(crate) attributes: Attributes,
    pub(crate) content: Content,
}

/// What a job puts into its file.
pub(crate) enum Content {
    Bytes {
        bytes: Vec<u8>,
        extents: Option<Vec<Extent>>,
        size: u64,
    },
    /// The bytes of another file.
    Copy(CopySource),
    /// Nothing: the directory exists, its attributes are set.
    Directory,
}

/// Why a job did not end well.
#[derive(Debug, thiserror::Error)]
pub(crate) enum WorkError {
    #[error(transparent)]
    Make(#[from] MakeError),
    #[error(transparent)]
    Copy(#[from] CopyError),
}

impl Job {
    /// Does it.
    pub(crate) fn run(mut self, ambient: &Ambient, note: NoteSink<'_>) -> Result<(), WorkError> {
        let name_at = self.path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
        let directory = self.directory.as_fd();
        let place = Place { directory, name: &self.path[name_at..], path: &self.path };
        match self.content {
            Content::Directory => {
                let opened = open_directory(directory, &self.path).map_err(|source| MakeError::Write {
                    path: text(&self.path),
                    call: "openat2",
                    source: source.into(),
                })?;
                make::finish_directory(&self.path, opened.as_fd(), &self.attributes, ambient, note)?;
            }
            Content::Bytes { bytes, extents, size } => {
                let file = make::create_file(place, self.attributes.mode)?;
                let file = make::write_bytes(place, file, &bytes, extents.as_deref(), size)?;
                make::finish_file(place, file.as_fd(), &self.attributes, ambient, note)?;
            }
            Content::Copy(source) => {
                let file = File::from(make::create_file(place, self.attributes.mode)?);
                source.copy(&file, &mut self.attributes.xattrs)?;
                make::finish_file(place, file.as_fd(), &self.attributes, ambient, note)?;
            }
        }
        Ok(())
    }
}
