//! `save`: images as one archive.

use std::io::Write;

use cache::Store;
use image::{ImageId, Reference};

use super::archive::ArchiveWriter;
use super::bundle::{ArchiveKind, Bundled, write_bundle};
use super::form::ImageForm;
use super::{ImageError, OnProgress, find};

/// Writes images as one tar that is a Docker archive and an OCI layout at the same time, as `docker save`
/// does since version 25. The same images and names give the same bytes.
///
/// A name without a tag means all tags of its repository, as in Docker; an image given by its id is saved
/// without a name.
///
/// # Errors
///
/// Those of [`find`]; [`ImageError::LayerChanged`], [`ImageError::Damaged`] when what would be written is
/// not the image; [`ImageError::WriteStream`]. What was written by then is no archive.
pub fn save<T: AsRef<str>>(
    store: &Store,
    names: &[T],
    to: &mut dyn Write,
    on_progress: OnProgress<'_>,
) -> Result<Vec<ImageId>, ImageError> {
    if names.is_empty() {
        return Err(ImageError::NothingNamed);
    }
    let (mut images, mut ids): (Vec<Bundled>, Vec<ImageId>) = (Vec::new(), Vec::new());
    for name in names {
        for (id, reference) in meant(store, name.as_ref())? {
            let at = match images.iter().position(|bundled| bundled.set == id.into()) {
                Some(at) => at,
                None => {
                    images.push(Bundled { set: id.into(), references: Vec::new() });
                    ids.push(id);
                    images.len() - 1
                }
            };
            let references = &mut images[at].references;
            references.extend(reference.filter(|reference| !references.contains(reference)));
        }
    }
    let form = ImageForm::default();
    write_bundle(store, &images, ArchiveKind::Docker, &form, &mut ArchiveWriter::new(to), on_progress)?;
    Ok(ids)
}

/// The images that a name means, each with the name under which it is saved.
fn meant(store: &Store, name: &str) -> Result<Vec<(ImageId, Option<Reference>)>, ImageError> {
    let Ok(reference) = name.parse::<Reference>() else { return Ok(vec![(find(store, name)?, None)]) };
    if is_repository(name) {
        let same = |other: &Reference| {
            other.domain() == reference.domain() && other.path() == reference.path() && other.tag().is_some()
        };
        let tags = store.tags()?.into_iter().filter(|(other, _)| same(other));
        let found: Vec<_> = tags.map(|(other, id)| (id, Some(other))).collect();
        if !found.is_empty() {
            return Ok(found);
        }
    }
    let id = find(store, name)?;
    let is_name = store.resolve(&reference)? == Some(id) && reference.tag().is_some();
    Ok(vec![(id, is_name.then_some(reference))])
}

/// Whether a name has neither tag nor digest.
fn is_repository(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    !last.contains([':', '@'])
}
