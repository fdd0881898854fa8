//! `--output`: an image as an archive, a tar of its files, or a directory of them.

use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd as _;
use std::path::Path;

use cache::layer::Tree;
use cache::{Store, StoredImage};
use image::{Descriptor, Platform, Reference};

use super::archive::{ArchiveWriter, JoiningWriter};
use super::bundle::{ArchiveKind, Bundled, write_bundle};
use super::destination::write_file;
use super::form::ImageForm;
use super::local::LocalCopy;
use super::set::ImageSet;
use super::{ImageError, OnProgress, disjoint};
use crate::{Archive, ArchivePlace, Destination, LocalOutput, Output, PlatformSplit};

const BUFFER_BYTES: usize = 1 << 20;

/// Exports images to where `output` says, with these names unless it says others. Files appear whole or not at all,
/// and are durable when this returns. An output to a registry is none of files: see [`Engine::push`](crate::Engine).
pub fn export(
    store: &Store,
    set: &ImageSet,
    references: &[Reference],
    output: &Output,
    on_progress: OnProgress<'_>,
) -> Result<(), ImageError> {
    match output {
        Output::Image(_) => Ok(()),
        Output::Oci(archive) => export_to(store, set, references, ArchiveKind::Oci, archive, on_progress),
        Output::Docker(archive) => {
            export_to(store, set, references, ArchiveKind::Docker, archive, on_progress)
        }
        Output::Tar(tar) => write_to(&tar.to, |to| export_tar(store, set, tar.split, to, on_progress)),
        Output::Local(local) => export_local(store, set, local, on_progress),
    }
}

fn export_to(
    store: &Store,
    set: &ImageSet,
    references: &[Reference],
    kind: ArchiveKind,
    archive: &Archive,
    on_progress: OnProgress<'_>,
) -> Result<(), ImageError> {
    let Archive { to, names, form } = archive;
    let names = if names.is_empty() { references } else { names };
    match to {
        ArchivePlace::Tar(to) => {
            write_to(to, |to| export_archive(store, set, names, kind, form, to, on_progress).map(drop))
        }
        ArchivePlace::Directory(path) => {
            let failed = |source| ImageError::Write { path: path.clone(), source };
            let images = [Bundled { set: set.clone(), references: names.to_vec() }];
            let mut members = JoiningWriter::new(path).map_err(failed)?;
            write_bundle(store, &images, kind, form, &mut members, on_progress).map(drop)
        }
    }
}

/// Writes images as a tar that is an OCI layout, for Docker with its own documents beside it; what their name stands for:
/// a manifest or an index. A layer is compressed once and kept.
pub fn export_archive(
    store: &Store,
    set: &ImageSet,
    references: &[Reference],
    kind: ArchiveKind,
    form: &ImageForm,
    to: &mut dyn Write,
    on_progress: OnProgress<'_>,
) -> Result<Descriptor, ImageError> {
    let images = [Bundled { set: set.clone(), references: references.to_vec() }];
    let mut written = write_bundle(store, &images, kind, form, &mut ArchiveWriter::new(to), on_progress)?;
    Ok(written.pop().expect("each set has a document"))
}

/// Writes the files of images, all layers merged, as one tar; those of several images in a directory for each platform.
///
/// # Errors
///
/// [`ImageError::Merge`] for several images whose files are not to be kept apart.
pub fn export_tar(
    store: &Store,
    set: &ImageSet,
    split: PlatformSplit,
    to: &mut dyn Write,
    on_progress: OnProgress<'_>,
) -> Result<(), ImageError> {
    let images = set.stored(store)?;
    let mut to = Reported { to, count_bytes: 0, failed: None, on_progress };
    let written = match (is_split(split, set), images.as_slice()) {
        (true, images) => return write_split(store, set, images, to),
        (false, [image]) => {
            let view = store.view(&image.layers)?;
            cache::layer::write_tar(view.root().as_fd(), &mut to, image.clamp_mtime)
        }
        (false, _) => return Err(ImageError::Merge),
    };
    to.done(written)
}

fn is_split(split: PlatformSplit, set: &ImageSet) -> bool {
    match split {
        PlatformSplit::WhenSeveral => set.members.len() > 1,
        PlatformSplit::Always => true,
        PlatformSplit::Never => false,
    }
}

/// The directory of a platform, as BuildKit calls it.
fn directory_of(platform: &Platform) -> String {
    platform.to_string().replace('/', "_")
}

fn write_split(
    store: &Store,
    set: &ImageSet,
    images: &[StoredImage],
    mut to: Reported<'_>,
) -> Result<(), ImageError> {
    let platforms = set.platforms(store)?;
    let views = images.iter().map(|image| store.view(&image.layers)).collect::<Result<Vec<_>, _>>()?;
    let roots = views.iter().map(|view| view.root());
    let trees = roots.zip(images).zip(&platforms).map(|((root, image), platform)| Tree {
        directory: directory_of(platform),
        root,
        clamp_mtime: image.clamp_mtime,
    });
    let trees: Vec<_> = trees.collect();
    let written = cache::layer::write_trees(&trees, &mut to);
    to.done(written)
}

/// Copies the files of images into a directory, or, each in its own, into directories of it.
fn export_local(
    store: &Store,
    set: &ImageSet,
    local: &LocalOutput,
    on_progress: OnProgress<'_>,
) -> Result<(), ImageError> {
    let LocalOutput { directory, split, mode } = local;
    let is_split = is_split(*split, set);
    let images = set.stored(store)?;
    let views = images.iter().map(|image| store.view(&image.layers)).collect::<Result<Vec<_>, _>>()?;
    let roots: Vec<_> = views.iter().map(|view| view.root()).collect();
    if !is_split && roots.len() > 1 {
        disjoint::check(&roots)?;
    }
    let mut copy = LocalCopy::new(directory, *mode, on_progress)?;
    for (root, platform) in roots.into_iter().zip(set.platforms(store)?) {
        let below = if is_split { directory_of(&platform) } else { String::new() };
        copy.add(root, Path::new(&below))?;
    }
    copy.finish()
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

impl Reported<'_> {
    /// What the destination said is the cause, whatever the writer of the tar made of it.
    fn done(self, written: Result<(), cache::layer::WriteError>) -> Result<(), ImageError> {
        match self.failed {
            Some(source) => Err(ImageError::WriteStream { source }),
            None => Ok(written.map_err(cache::StoreError::from)?),
        }
    }
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
