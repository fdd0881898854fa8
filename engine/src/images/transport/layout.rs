//! An image into an OCI layout that may have others already.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use cache::Store;
use image::{ImageId, Index};

use super::NO_PROGRESS;
use crate::images::ImageError;
use crate::images::archive::{ArchiveWriter, BundleWriter, DirectoryWriter, INDEX, REF_NAME_ANNOTATION};
use crate::images::bundle::{ArchiveKind, Bundled, write_bundle};
use crate::images::form::ImageForm;

/// Adds an image to a layout, under a tag or without. Others stay, but for one of the same tag.
pub(super) fn write(store: &Store, id: &ImageId, path: &Path, tag: Option<&str>) -> Result<(), ImageError> {
    let failed = |source| ImageError::Write { path: path.to_owned(), source };
    let present = match fs::read(path.join(INDEX)) {
        Ok(bytes) => Index::parse(&bytes).map_err(|error| failed(io::Error::other(error)))?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => Index::new(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let members = DirectoryWriter::new(path).map_err(failed)?;
    write_to(store, id, &mut Tagging { members, present, tag })
}

/// Writes a layout with one image as a tar.
pub(super) fn write_tar(
    store: &Store,
    id: &ImageId,
    tag: Option<&str>,
    to: &mut dyn Write,
) -> Result<(), ImageError> {
    let (members, present) = (ArchiveWriter::new(to), Index::new(Vec::new()));
    write_to(store, id, &mut Tagging { members, present, tag })
}

fn write_to(store: &Store, id: &ImageId, to: &mut dyn BundleWriter) -> Result<(), ImageError> {
    let images = [Bundled { set: (*id).into(), references: Vec::new() }];
    write_bundle(store, &images, ArchiveKind::Oci, &ImageForm::default(), to, NO_PROGRESS).map(drop)
}

/// Gives the image its tag on the way.
struct Tagging<'a, W> {
    members: W,
    /// What the layout has already.
    present: Index,
    tag: Option<&'a str>,
}

impl<W: BundleWriter> BundleWriter for Tagging<'_, W> {
    fn directory(&mut self, name: &str) -> io::Result<()> {
        self.members.directory(name)
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        if name != INDEX {
            return self.members.bytes(name, bytes);
        }
        let new = Index::parse(bytes).map_err(io::Error::other)?.manifests;
        let mut index = self.present.clone();
        for mut descriptor in new {
            let tag = self.tag.map(|tag| (REF_NAME_ANNOTATION.to_owned(), tag.to_owned()));
            descriptor.annotations.extend(tag);
            let tag_of = |other: &image::Descriptor| other.annotations.get(REF_NAME_ANNOTATION).cloned();
            let tag = tag_of(&descriptor);
            index.manifests.retain(|other| match &tag {
                Some(_) => tag_of(other) != tag,
                None => other.digest != descriptor.digest || tag_of(other).is_some(),
            });
            index.manifests.push(descriptor);
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
