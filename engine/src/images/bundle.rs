//! Writes images as one archive: an OCI layout, for Docker with the documents of its own archives beside it.

use std::collections::BTreeMap;
use std::io::{self, Read as _, Write};
use std::sync::Arc;

use cache::{Store, StoredImage};
use image::{BlobDigest, Descriptor, Digest, ImageConfig, Index, MediaType, Platform, Reference, Sha256};

use super::archive::{
    BundleWriter, INDEX, LAYOUT, LAYOUT_JSON, MANIFEST, NAME_ANNOTATION, REF_NAME_ANNOTATION, REPOSITORIES,
    manifest_json, repositories_json,
};
use super::compress::compressed;
use super::config::read_config_bytes;
use super::documents::{Described, Document, Documents};
use super::form::ImageForm;
use super::layers::{LayerTar, layer_tars};
use super::set::{ImageSet, Predicate, preferred};
use super::{ImageError, OnProgress};

/// For whom an archive is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ArchiveKind {
    /// An OCI layout, with compressed layers unless its form says otherwise.
    Oci,
    /// An OCI layout that is a Docker archive at the same time, as `docker save` writes since version 25; with plain
    /// layers unless its form says otherwise.
    Docker,
}

/// Images that leave under the same names.
pub(crate) struct Bundled {
    pub(crate) set: ImageSet,
    pub(crate) references: Vec<Reference>,
}

/// What a file under `blobs/sha256` is made of.
enum Blob {
    Bytes(Vec<u8>),
    Tar(Arc<LayerTar>, u64),
    Kept { digest: BlobDigest, size_bytes: u64 },
}

/// One image of the archive.
struct Part {
    config: Vec<u8>,
    platform: Platform,
    layers: Vec<Arc<LayerTar>>,
    /// How each of them is in the archive.
    layer_blobs: Vec<BlobDigest>,
    predicates: Vec<Predicate>,
    /// Those that Docker gives to it.
    references: Vec<Reference>,
}

/// Writes the members; what the names of each set stand for. The same images and names give the same bytes.
pub(crate) fn write_bundle(
    store: &Store,
    images: &[Bundled],
    kind: ArchiveKind,
    form: &ImageForm,
    to: &mut dyn BundleWriter,
    on_progress: OnProgress<'_>,
) -> Result<Vec<Descriptor>, ImageError> {
    let (mut parts, mut blobs) = (Vec::new(), BTreeMap::new());
    let mut index = Index::new(Vec::new());
    let mut tops = Vec::new();
    for Bundled { set, references } in images {
        let mut described = Vec::new();
        for mut part in parts_of(store, set, references)? {
            let manifest = add_blobs(store, &mut part, kind, form, &mut blobs, on_progress)?;
            let (platform, predicates) = (part.platform.clone(), std::mem::take(&mut part.predicates));
            described.push(Described { manifest, platform, predicates });
            parts.push(part);
        }
        let documents = Documents::new(described, references, form);
        index.manifests.extend(named(&documents.top().descriptor, references));
        tops.push(documents.top().descriptor.clone());
        let Documents { blobs: statements, manifests, attestations, index: list } = documents;
        let attestations = attestations.into_iter().map(|(_, document)| document);
        let documents = statements.into_iter().chain(manifests).chain(attestations).chain(list);
        for Document { descriptor, bytes } in documents {
            blobs.insert(descriptor.digest, Blob::Bytes(bytes));
        }
    }
    write_members(store, &parts, &blobs, &index, kind, to, on_progress)?;
    Ok(tops)
}

/// The images of a set. Docker knows one image for a name: the one for this machine.
fn parts_of(store: &Store, set: &ImageSet, references: &[Reference]) -> Result<Vec<Part>, ImageError> {
    let mut parts = Vec::new();
    for (image, member) in set.stored(store)?.iter().zip(&set.members) {
        parts.push(part(store, image, &member.predicates)?);
    }
    let platforms: Vec<_> = parts.iter().map(|part| part.platform.clone()).collect();
    parts[preferred(&platforms)].references = references.to_vec();
    Ok(parts)
}

fn part(store: &Store, image: &StoredImage, predicates: &[Predicate]) -> Result<Part, ImageError> {
    let bytes = read_config_bytes(store, &image.id)?;
    let config: ImageConfig = super::config::parse_config(&bytes, &image.id)?;
    Ok(Part {
        platform: config.platform(),
        layers: layer_tars(store, image, &config)?.into_iter().map(Arc::new).collect(),
        layer_blobs: Vec::new(),
        config: bytes,
        predicates: predicates.to_vec(),
        references: Vec::new(),
    })
}

/// Adds the config and the layers of one image, and makes its manifest.
fn add_blobs(
    store: &Store,
    image: &mut Part,
    kind: ArchiveKind,
    form: &ImageForm,
    blobs: &mut BTreeMap<BlobDigest, Blob>,
    on_progress: OnProgress<'_>,
) -> Result<Document, ImageError> {
    let config = BlobDigest(Digest::of(&image.config));
    let of_config = Descriptor::new(MediaType::Config, config, image.config.len() as u64);
    blobs.insert(config, Blob::Bytes(image.config.clone()));
    let is_plain = kind == ArchiveKind::Docker && form.layers.compression.is_none();
    let mut layers = Vec::new();
    for layer in &image.layers {
        let descriptor = if is_plain {
            let digest = BlobDigest(layer.diff_id.0);
            let size_bytes = layer.size_bytes(store)?;
            blobs.insert(digest, Blob::Tar(layer.clone(), size_bytes));
            Descriptor::new(MediaType::Layer, digest, size_bytes)
        } else {
            let descriptor = compressed(store, layer, &form.layers, on_progress)?;
            let (digest, size_bytes) = (descriptor.digest, descriptor.size_bytes);
            blobs.insert(digest, Blob::Kept { digest, size_bytes });
            descriptor
        };
        image.layer_blobs.push(descriptor.digest);
        layers.push(descriptor);
    }
    let manifest = form.manifest(of_config, layers, &image.platform);
    Ok(Document::new(&manifest.media_type, manifest.to_json()))
}

/// The manifest in the index: once for each name, or once without.
fn named(manifest: &Descriptor, references: &[Reference]) -> Vec<Descriptor> {
    let with_name = |reference: &Reference| {
        let mut descriptor = manifest.clone();
        let mut annotate = |name: &str, value: String| descriptor.annotations.insert(name.to_owned(), value);
        annotate(NAME_ANNOTATION, reference.to_string());
        if let Some(tag) = reference.tag() {
            annotate(REF_NAME_ANNOTATION, tag.to_owned());
        }
        descriptor
    };
    match references.is_empty() {
        true => vec![manifest.clone()],
        false => references.iter().map(with_name).collect(),
    }
}

fn write_members(
    store: &Store,
    images: &[Part],
    blobs: &BTreeMap<BlobDigest, Blob>,
    index: &Index,
    kind: ArchiveKind,
    members: &mut dyn BundleWriter,
    on_progress: OnProgress<'_>,
) -> Result<(), ImageError> {
    let failed = |source| ImageError::WriteStream { source };
    members.directory("blobs/").map_err(failed)?;
    members.directory("blobs/sha256/").map_err(failed)?;
    for (digest, blob) in blobs {
        let name = blob_name(digest);
        match blob {
            Blob::Bytes(bytes) => members.bytes(&name, bytes).map_err(failed)?,
            Blob::Tar(layer, size_bytes) => {
                members
                    .file(&name, *size_bytes, &mut |to| layer.write(to, Some(*size_bytes), on_progress))?;
            }
            Blob::Kept { digest, size_bytes } => {
                members.file(&name, *size_bytes, &mut |to| copy_kept(store, digest, to))?;
            }
        }
    }
    members.bytes(INDEX, &index.to_json()).map_err(failed)?;
    if kind == ArchiveKind::Docker {
        members.bytes(MANIFEST, &docker_manifest(images)).map_err(failed)?;
    }
    members.bytes(LAYOUT, LAYOUT_JSON).map_err(failed)?;
    if kind == ArchiveKind::Docker && images.iter().any(|image| !image.references.is_empty()) {
        members.bytes(REPOSITORIES, &repositories(images)).map_err(failed)?;
    }
    members.finish().map_err(failed)
}

fn blob_name(digest: &BlobDigest) -> String {
    format!("blobs/sha256/{}", digest.0.hex())
}

fn docker_manifest(images: &[Part]) -> Vec<u8> {
    manifest_json(images.iter().map(|image| {
        let config = blob_name(&BlobDigest(Digest::of(&image.config)));
        let layers = image.layer_blobs.iter().map(blob_name).collect();
        (config, image.references.as_slice(), layers)
    }))
}

fn repositories(images: &[Part]) -> Vec<u8> {
    repositories_json(images.iter().filter_map(|image| {
        let top = image.layers.last()?;
        Some((image.references.as_slice(), top.diff_id.0.hex()))
    }))
}

/// Copies a blob of the store, and notices when it is not what its name says.
fn copy_kept(store: &Store, digest: &BlobDigest, to: &mut dyn Write) -> Result<(), ImageError> {
    let gone = || cache::StoreError::NoBlob { digest: *digest };
    let mut file = store.open_blob(digest)?.ok_or_else(gone)?;
    let mut hash = Sha256::new();
    let mut block = vec![0; 256 << 10];
    loop {
        let count = match file.read(&mut block) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(ImageError::ReadBlob { digest: *digest, source }),
        };
        hash.update(&block[..count]);
        to.write_all(&block[..count]).map_err(|source| ImageError::WriteStream { source })?;
    }
    let actual = BlobDigest(hash.finish());
    if actual != *digest {
        // It is made again the next time.
        store.remove_damaged_blob(digest)?;
        return Err(cache::StoreError::WrongDigest { expected: *digest, actual }.into());
    }
    Ok(())
}
