//! Adds images to an OCI layout that has others already, and that others may write at the same time.

use std::fs::{File, Permissions};
use std::io::{self, Read as _, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use image::{Descriptor, Index};

use super::layout::{INDEX, LAYOUT, LAYOUT_JSON, NAME_ANNOTATION, REF_NAME_ANNOTATION};
use super::writer::{BundleWriter, DirectoryWriter};
use crate::images::ImageError;

/// `index.json` of a directory that has been used for years.
const INDEX_BYTES_MAX: u64 = 16 << 20;
/// Others than its writer read a layout.
const LAYOUT_MODE: u32 = 0o644;

/// Keeps others from changing the index of a layout, until it is dropped: a lock of the kernel on its file `oci-layout`.
pub(crate) struct LayoutLock {
    _file: File,
}

impl LayoutLock {
    /// Waits for the lock on the layout in `root`, a directory that is there.
    pub(crate) fn take(root: &Path) -> io::Result<Self> {
        let path = root.join(LAYOUT);
        // Only made when it is missing, and then whole: who replaced it would lock another file than those who have it.
        let file = match File::open(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make(root, &path)?;
                File::open(&path)?
            }
            opened => opened?,
        };
        file.lock()?;
        Ok(Self { _file: file })
    }
}

fn make(root: &Path, path: &Path) -> io::Result<()> {
    let mut staged = tempfile::NamedTempFile::new_in(root)?;
    staged.write_all(LAYOUT_JSON)?;
    staged.as_file().set_permissions(Permissions::from_mode(LAYOUT_MODE))?;
    match staged.persist_noclobber(path) {
        Err(error) if error.error.kind() != io::ErrorKind::AlreadyExists => Err(error.error),
        _ => Ok(()),
    }
}

/// What the index of a layout names; nothing without an index.
///
/// # Errors
///
/// Also when it is no index, or larger than any: what cannot be read is not replaced.
pub(crate) fn read_index(root: &Path) -> io::Result<Index> {
    let file = match File::open(root.join(INDEX)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Index::new(Vec::new())),
        opened => opened?,
    };
    let mut bytes = Vec::new();
    file.take(INDEX_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > INDEX_BYTES_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Index::parse(&bytes).map_err(io::Error::other)
}

/// Makes a layout name a document whose blobs are there, beside what it names already; the layout is made when it is missing.
///
/// # Errors
///
/// When the layout cannot be read or written.
pub fn name_in_layout(root: &Path, descriptor: Descriptor) -> io::Result<()> {
    let mut members = JoiningWriter::new(root)?;
    members.bytes(INDEX, &Index::new(vec![descriptor]).to_json())
}

/// What a layout has a tag for; none where it has not.
///
/// # Errors
///
/// When there is an index that cannot be read.
pub fn named_in_layout(root: &Path, tag: &str) -> io::Result<Option<Descriptor>> {
    let is_it = |it: &Descriptor| it.annotations.get(REF_NAME_ANNOTATION).is_some_and(|name| name == tag);
    Ok(read_index(root)?.manifests.into_iter().rev().find(is_it))
}

/// A directory with the members as files, in which what the index names already stays, unless one of them has its name.
pub(crate) struct JoiningWriter {
    members: DirectoryWriter,
    root: PathBuf,
}

impl JoiningWriter {
    /// Begins in a directory, which is made when it is missing.
    pub(crate) fn new(root: &Path) -> io::Result<Self> {
        Ok(Self { members: DirectoryWriter::new(root)?, root: root.to_owned() })
    }
}

impl BundleWriter for JoiningWriter {
    fn directory(&mut self, name: &str) -> io::Result<()> {
        self.members.directory(name)
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        match name {
            // It is there, or comes with the lock.
            LAYOUT => Ok(()),
            INDEX => {
                let new = Index::parse(bytes).map_err(io::Error::other)?.manifests;
                let _lock = LayoutLock::take(&self.root)?;
                let mut index = read_index(&self.root)?;
                new.into_iter().for_each(|descriptor| join(&mut index, descriptor));
                self.members.bytes(name, &index.to_json())
            }
            _ => self.members.bytes(name, bytes),
        }
    }

    fn file(
        &mut self,
        name: &str,
        size_bytes: u64,
        write: &mut dyn FnMut(&mut dyn Write) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        self.members.file(name, size_bytes, write)
    }

    fn finish(&mut self) -> io::Result<()> {
        self.members.finish()
    }
}

/// Adds a document to an index, in the place of those that have its name.
fn join(index: &mut Index, new: Descriptor) {
    let names = |descriptor: &Descriptor| {
        let named = |by: &str| descriptor.annotations.get(by).cloned();
        (named(NAME_ANNOTATION), named(REF_NAME_ANNOTATION))
    };
    let own = names(&new);
    index.manifests.retain(|other| match (&own, names(other)) {
        ((None, None), names) => other.digest != new.digest || names != (None, None),
        // The same tag may be of images with different names.
        ((Some(name), _), (Some(other), _)) => *name != other,
        ((_, tag), (_, other)) => tag.is_none() || *tag != other,
    });
    index.manifests.push(new);
}
