//! `--output`: an image as an archive, a tar of its files, or a directory of them.

use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd as _;

use cache::Store;
use image::{ImageId, Reference};

use super::archive::{ArchiveWriter, DirectoryWriter};
use super::bundle::{ArchiveKind, Bundled, write_bundle};
use super::destination::write_file;
use super::form::ImageForm;
use super::local::copy_tree;
use super::{ImageError, OnProgress, stored};
use crate::{Archive, ArchivePlace, Destination, Output};

const BUFFER_BYTES: usize = 1 << 20;

/// Exports an image to where `output` says, with these names unless it says others. Files appear whole or not at all,
/// and are durable when this returns. An output to a registry is none of files: see [`Engine::push`](crate::Engine).
pub fn export(
    store: &Store,
    id: &ImageId,
    references: &[Reference],
    output: &Output,
    on_progress: OnProgress<'_>,
) -> Result<(), ImageError> {
    match output {
        Output::Image(_) => Ok(()),
        Output::Oci(archive) => export_to(store, id, references, ArchiveKind::Oci, archive, on_progress),
        Output::Docker(archive) => {
            export_to(store, id, references, ArchiveKind::Docker, archive, on_progress)
        }
        Output::Tar(to) => write_to(to, |to| export_tar(store, id, to, on_progress)),
        Output::Local(directory) => {
            copy_tree(store.view(&stored(store, id)?.layers)?.root(), directory, on_progress)
        }
    }
}

fn export_to(
    store: &Store,
    id: &ImageId,
    references: &[Reference],
    kind: ArchiveKind,
    archive: &Archive,
    on_progress: OnProgress<'_>,
) -> Result<(), ImageError> {
    let Archive { to, names, form } = archive;
    let names = if names.is_empty() { references } else { names };
    match to {
        ArchivePlace::Tar(to) => {
            write_to(to, |to| export_archive(store, id, names, kind, form, to, on_progress))
        }
        ArchivePlace::Directory(path) => {
            let failed = |source| ImageError::Write { path: path.clone(), source };
            let images = [Bundled { image: stored(store, id)?, references: names.to_vec() }];
            let mut members = DirectoryWriter::new(path).map_err(failed)?;
            write_bundle(store, &images, kind, form, &mut members, on_progress)
        }
    }
}

/// Writes an image as a tar that is an OCI layout, for Docker with its own documents beside it. A layer is compressed
/// once and kept.
pub fn export_archive(
    store: &Store,
    id: &ImageId,
    references: &[Reference],
    kind: ArchiveKind,
    form: &ImageForm,
    to: &mut dyn Write,
    on_progress: OnProgress<'_>,
) -> Result<(), ImageError> {
    let images = [Bundled { image: stored(store, id)?, references: references.to_vec() }];
    write_bundle(store, &images, kind, form, &mut ArchiveWriter::new(to), on_progress)
}

/// Writes the files of an image, all layers merged, as one tar.
pub fn export_tar(
    store: &Store,
    id: &ImageId,
    to: &mut dyn Write,
    on_progress: OnProgress<'_>,
) -> Result<(), ImageError> {
    let image = stored(store, id)?;
    let view = store.view(&image.layers)?;
    let mut to = Reported { to, count_bytes: 0, failed: None, on_progress };
    let written = cache::layer::write_tar(view.root().as_fd(), &mut to, image.clamp_mtime);
    if let Some(source) = to.failed {
        return Err(ImageError::WriteStream { source });
    }
    Ok(written.map_err(cache::StoreError::from)?)
}

fn write_to(
    destination: &Destination,
    write: impl FnOnce(&mut dyn Write) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    match destination {
        Destination::File(path) => write_file(path, write),
        Destination::Stdout => {
            let mut to = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
            write(&mut to)?;
            to.flush().map_err(|source| ImageError::WriteStream { source })
        }
    }
}

/// Tells how much passed through, and remembers what the destination said.
struct Reported<'a> {
    to: &'a mut dyn Write,
    count_bytes: u64,
    failed: Option<io::Error>,
    on_progress: OnProgress<'a>,
}

impl Write for Reported<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.to.write(bytes) {
            Ok(count) => {
                self.count_bytes += count as u64;
                (self.on_progress)("writing files", self.count_bytes, None);
                Ok(count)
            }
            Err(error) => {
                let kind = error.kind();
                if kind != io::ErrorKind::Interrupted {
                    self.failed = Some(error);
                }
                Err(kind.into())
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}
