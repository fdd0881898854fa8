//! An image into an OCI layout that may have others already.

use std::io::{self, Write};
use std::path::Path;

use cache::Store;
use image::{ImageId, Index};

use super::NO_PROGRESS;
use crate::images::ImageError;
use crate::images::archive::{ArchiveWriter, BundleWriter, INDEX, JoiningWriter, REF_NAME_ANNOTATION};
use crate::images::bundle::{ArchiveKind, Bundled, write_bundle};
use crate::images::form::ImageForm;

/// Adds an image to a layout, under a tag or without. Others stay, but for one of the same tag.
pub(super) fn write(store: &Store, id: &ImageId, path: &Path, tag: Option<&str>) -> Result<(), ImageError> {
    let failed = |source| ImageError::Write { path: path.to_owned(), source };
    let members = JoiningWriter::new(path).map_err(failed)?;
    write_to(store, id, &mut Tagging { members, tag })
}

/// Writes a layout with one image as a tar.
pub(super) fn write_tar(
    store: &Store,
    id: &ImageId,
    tag: Option<&str>,
    to: &mut dyn Write,
) -> Result<(), ImageError> {
    write_to(store, id, &mut Tagging { members: ArchiveWriter::new(to), tag })
}

fn write_to(store: &Store, id: &ImageId, to: &mut dyn BundleWriter) -> Result<(), ImageError> {
    let images = [Bundled { set: (*id).into(), references: Vec::new() }];
    write_bundle(store, &images, ArchiveKind::Oci, &ImageForm::default(), to, NO_PROGRESS).map(drop)
}

/// Gives the image its tag on the way.
struct Tagging<'a, W> {
    members: W,
    tag: Option<&'a str>,
}

impl<W: BundleWriter> BundleWriter for Tagging<'_, W> {
    fn directory(&mut self, name: &str) -> io::Result<()> {
        self.members.directory(name)
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (INDEX, Some(tag)) = (name, self.tag) else { return self.members.bytes(name, bytes) };
        let mut index = Index::parse(bytes).map_err(io::Error::other)?;
        for descriptor in &mut index.manifests {
            descriptor.annotations.insert(REF_NAME_ANNOTATION.to_owned(), tag.to_owned());
        }
        self.members.bytes(name, &index.to_json())
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
