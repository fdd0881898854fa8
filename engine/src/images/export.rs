//! `--output`: an image as an archive, a tar of its files, or a directory of them.

use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd as _;

use cache::Store;
use image::{ImageId, Reference};

use super::bundle::{Bundled, Form, write_bundle};
use super::destination::write_file;
use super::local::copy_tree;
use super::{ImageError, OnProgress, stored};
use crate::{Destination, Output};

const BUFFER_BYTES: usize = 1 << 20;

/// Exports an image to where `output` says, with these names. Files appear whole or not at all, and are
/// durable when this returns.
pub fn export(
    store: &Store,
    id: &ImageId,
    references: &[Reference],
    output: &Output,
    on_progress: OnProgress<'_>,
) -> Result<(), ImageError> {
    match output {
        Output::Oci(to) => write_to(to, |to| export_oci(store, id, references, to, on_progress)),
        Output::Docker(to) => write_to(to, |to| export_docker(store, id, references, to, on_progress)),
        Output::Tar(to) => write_to(to, |to| export_tar(store, id, to, on_progress)),
        Output::Local(directory) => {
            copy_tree(store.view(&stored(store, id)?.layers)?.root(), directory, on_progress)
        }
    }
}

/// Writes an image as the tar of an OCI layout with compressed layers. A layer is compressed once and kept.
pub fn export_oci(
    store: &Store,
    id: &ImageId,
    references: &[Reference],
    to: &mut dyn Write,
    on_progress: OnProgress<'_>,
) -> Result<(), ImageError> {
    let image = Bundled { image: stored(store, id)?, references: references.to_vec() };
    write_bundle(store, &[image], Form::Oci, to, on_progress)
}

/// Writes an image as a tar that `docker load` reads, as [`save`](super::save) does.
pub fn export_docker(
    store: &Store,
    id: &ImageId,
    references: &[Reference],
    to: &mut dyn Write,
    on_progress: OnProgress<'_>,
) -> Result<(), ImageError> {
    let image = Bundled { image: stored(store, id)?, references: references.to_vec() };
    write_bundle(store, &[image], Form::Docker, to, on_progress)
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
