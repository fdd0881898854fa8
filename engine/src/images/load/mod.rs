//! Loads images from archives: Docker's, old and new, and OCI layouts.

mod layers;

use std::collections::BTreeMap;
use std::path::Path;

use cache::{Layer, Store};
use image::{DiffId, Digest, ImageConfig, ImageId, Platform, Reference};

use self::layers::load_layers;
use super::archive::{self, Archive, ArchiveError, ArchivedBlob, ArchivedImage, LayoutName, Source};
use super::publish::publish;
use super::tag::check_target;
use super::{ImageError, OnProgress};

/// What was loaded. Prints as Docker does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Loaded {
    /// An image with a name.
    Reference {
        /// The name.
        reference: Reference,
        /// The image.
        id: ImageId,
        /// The other image that had the name before.
        replaced: Option<ImageId>,
    },
    /// An image without a name.
    Id(ImageId),
}

impl Loaded {
    /// The image.
    pub fn id(&self) -> ImageId {
        match self {
            Self::Reference { id, .. } | Self::Id(id) => *id,
        }
    }
}

impl std::fmt::Display for Loaded {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Reference { reference, .. } => write!(f, "Loaded image: {}", reference.familiar()),
            Self::Id(id) => write!(f, "Loaded image ID: {id}"),
        }
    }
}

/// An image whose parts are all known to be right.
struct Checked {
    bytes: Vec<u8>,
    config: ImageConfig,
    image: ArchivedImage,
}

/// Loads all images of an archive, and gives them the names that they have there. They are durable when this
/// returns.
///
/// An archive with a `manifest.json` is read as Docker's, whatever else is in it; one without as an OCI
/// layout. Everything is checked before any image is visible: names, digests, sizes, and that each layer is
/// the one that its config names.
///
/// # Errors
///
/// [`ImageError::Archive`]; no image is visible then.
pub fn load(
    store: &Store,
    source: Source<'_>,
    on_progress: OnProgress<'_>,
) -> Result<Vec<Loaded>, ImageError> {
    let archive = archive::open(store, source, on_progress)?;
    let images = images(&archive)?;
    let checked = images.into_iter().map(|image| check(&archive, image)).collect::<Result<Vec<_>, _>>()?;
    let mut wanted = BTreeMap::new();
    for Checked { config, image, .. } in &checked {
        wanted.extend(config.rootfs.diff_ids.iter().copied().zip(&image.layers));
    }
    let layers = load_layers(store, &archive, &wanted, on_progress)?;
    let mut loaded = Vec::new();
    for checked in checked {
        keep(store, checked, &layers, &mut loaded)?;
    }
    store.make_durable()?;
    Ok(loaded)
}

/// An image of a layout whose layers are in the store; the image itself is not.
pub(crate) struct Borrowed {
    pub(crate) config: ImageConfig,
    pub(crate) layers: Vec<Layer>,
}

/// Brings the layers of one image of an OCI layout, a directory, into the store. Everything is checked as by
/// [`load`]; the image is not listed.
pub(crate) fn borrow(
    store: &Store,
    layout: &Path,
    name: Option<&LayoutName>,
    platform: &Platform,
    on_progress: OnProgress<'_>,
) -> Result<Borrowed, ImageError> {
    let archive = Archive::directory(layout)?;
    if !archive.has(archive::INDEX) {
        return Err(ArchiveError::NotALayout.into());
    }
    let Checked { config, image, .. } = check(&archive, archive::oci_image(&archive, name, platform)?)?;
    let wanted = config.rootfs.diff_ids.iter().copied().zip(&image.layers).collect();
    let layers = load_layers(store, &archive, &wanted, on_progress)?;
    let layers = config.rootfs.diff_ids.iter().map(|diff_id| layers[diff_id].clone()).collect();
    Ok(Borrowed { config, layers })
}

/// Brings one image of an archive into the store. Everything is checked as by [`load`]; it gets no name.
pub(crate) fn one_archived(
    store: &Store,
    archive: &Archive,
    name: Option<&LayoutName>,
    platform: &Platform,
    on_progress: OnProgress<'_>,
) -> Result<ImageId, ImageError> {
    let image = match archive.has(archive::MANIFEST) {
        true => archive::docker_image(archive, name)?,
        false => archive::oci_image(archive, name, platform)?,
    };
    let Checked { bytes, config, image } = check(archive, image)?;
    let wanted = config.rootfs.diff_ids.iter().copied().zip(&image.layers).collect();
    let layers = load_layers(store, archive, &wanted, on_progress)?;
    let own: Vec<Layer> = config.rootfs.diff_ids.iter().map(|diff_id| layers[diff_id].clone()).collect();
    let id = publish(store, &bytes, &config, &own, None)?;
    store.make_durable()?;
    Ok(id)
}

fn images(archive: &Archive) -> Result<Vec<ArchivedImage>, ArchiveError> {
    if archive.has(archive::MANIFEST) {
        archive::docker_images(archive)
    } else if archive.has(archive::INDEX) {
        archive::oci_images(archive, &Platform::host())
    } else {
        Err(ArchiveError::NotAnArchive)
    }
}

fn check(archive: &Archive, image: ArchivedImage) -> Result<Checked, ImageError> {
    let ArchivedBlob { name, expected } = &image.config;
    if let Some((_, size_bytes)) = expected {
        archive.check_size(name, &image.named_by, *size_bytes)?;
    }
    let bytes = archive.document(name, &image.named_by)?;
    let json = |source| ArchiveError::Json { name: name.clone(), source };
    let config: ImageConfig = serde_json::from_slice(&bytes).map_err(json)?;
    if config.os != "linux" {
        let digest = Digest::of(&bytes);
        return Err(ArchiveError::OperatingSystem { os: config.os, digest }.into());
    }
    let (layers, diff_ids) = (image.layers.len(), config.rootfs.diff_ids.len());
    if layers != diff_ids {
        return Err(ArchiveError::LayerCount { name: image.named_by, layers, diff_ids }.into());
    }
    for blob in &image.layers {
        let member = archive.open(&blob.name, &image.named_by)?;
        let size_bytes = blob.expected.map_or(member.size_bytes(), |(_, size_bytes)| size_bytes);
        archive.check_size(&blob.name, &image.named_by, size_bytes)?;
    }
    for reference in &image.tags {
        check_target(reference)?;
    }
    Ok(Checked { bytes, config, image })
}

fn keep(
    store: &Store,
    checked: Checked,
    layers: &BTreeMap<DiffId, Layer>,
    loaded: &mut Vec<Loaded>,
) -> Result<(), ImageError> {
    let Checked { bytes, config, image } = checked;
    let of = |diff_id: &DiffId| layers[diff_id].clone();
    let own: Vec<Layer> = config.rootfs.diff_ids.iter().map(of).collect();
    let id = publish(store, &bytes, &config, &own, None)?;
    if image.tags.is_empty() {
        loaded.push(Loaded::Id(id));
    }
    for reference in image.tags {
        let replaced = store.tag(&reference, &id)?.filter(|other| *other != id);
        loaded.push(Loaded::Reference { reference, id, replaced });
    }
    Ok(())
}
