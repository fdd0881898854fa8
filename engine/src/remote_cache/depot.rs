//! Where a remote cache is kept: a repository of a registry, a directory, an object store, or a service like one.

use std::sync::Arc;

use cache::Store;
use image::{BlobDigest, Descriptor, Digest, Index, Manifest, MediaType, Reference};
use registry::{Fetch, Kind, RegistryError, Repository};

use super::actions::Actions;
use super::inline;
use super::keyed::Keyed;
use super::layout::Layout;
use super::objects::Objects;
use super::{CacheExport, CacheFormat, CachePlace, CacheShape, Catalogue, RemoteCacheError};
use crate::Engine;
use crate::blocking::blocking;
use crate::images::{
    BlobFile, Bytes, ImageForm, choose, fetch_blob, fetch_small, remember, repositories, verify_blob,
};

/// The type of our catalogue.
const CATALOGUE_TYPE: &str = "application/vnd.slipway.cache.catalogue.v1+json";
/// The type of BuildKit's.
const BUILDKIT_TYPE: &str = "application/vnd.buildkit.cacheconfig.v0";
/// A catalogue of 50 000 layers and as many records.
pub(super) const CATALOGUE_BYTES_MAX: u64 = 64 << 20;
/// Registries refuse larger manifests.
const MANIFEST_BYTES_MAX: u64 = 4 << 20;
/// What can be unpacked is smaller than this.
pub(super) const BLOB_BYTES_MAX: u64 = 1 << 40;

/// A place for remote caches.
pub(crate) enum Depot {
    /// A tag of a repository.
    Registry { repository: Repository, name: Reference },
    /// A tag of a directory.
    Layout(Layout),
    /// Names in an object store, or in a service like one.
    Keyed(Keyed),
}

/// A catalogue as it was found.
pub(super) struct Found {
    pub(super) catalogue: Catalogue,
    /// Of the manifest that names it; in an object store of its version.
    pub(super) manifest: Digest,
}

impl Depot {
    /// The depot at a place. Connects to nothing yet.
    pub(super) fn new(engine: &Engine, place: &CachePlace) -> Result<Self, RemoteCacheError> {
        Ok(match place {
            CachePlace::Registry(name) => {
                Self::Registry { repository: engine.registries.repository(name)?, name: name.clone() }
            }
            CachePlace::Directory { path, tag } => Self::Layout(Layout::new(path, tag)),
            CachePlace::Objects(place) => Self::Keyed(Keyed::Objects(Objects::new(place)?)),
            CachePlace::Actions(place) => Self::Keyed(Keyed::Actions(Actions::new(place)?)),
        })
    }

    /// The digest of what the name stands for; none when it stands for nothing.
    pub(super) async fn current(&self) -> Result<Option<Digest>, RemoteCacheError> {
        match self {
            Self::Registry { repository, name } => match repository.head_manifest(name).await {
                Ok(descriptor) => Ok(Some(descriptor.digest.0)),
                Err(RegistryError::NoManifest { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Layout(layout) => {
                let layout = layout.clone();
                Ok(blocking(move || layout.named()).await?.map(|descriptor| descriptor.digest.0))
            }
            Self::Keyed(keyed) => keyed.version().await,
        }
    }

    /// The catalogue; none when nothing has the name.
    pub(super) async fn read(&self) -> Result<Option<Found>, RemoteCacheError> {
        if let Self::Keyed(keyed) = self {
            let Some((manifest, bytes)) = keyed.catalogue().await? else { return Ok(None) };
            return Ok(Some(Found { catalogue: Catalogue::parse(&bytes, &[])?, manifest }));
        }
        let Some((manifest, kind, bytes)) = self.manifest().await? else { return Ok(None) };
        let found = |catalogue| Some(Found { catalogue, manifest });
        match config_of(kind, &bytes) {
            Ok((config, blobs)) => {
                let document = self.document(config).await?;
                Ok(found(blocking(move || Catalogue::parse(&document, &blobs)).await?))
            }
            Err(error) => match self.inline(kind, &bytes).await? {
                Some(catalogue) => Ok(found(catalogue)),
                None => Err(error),
            },
        }
    }

    /// The catalogue in an image; of an image for several platforms, in the one for this machine.
    async fn inline(&self, kind: Kind, bytes: &[u8]) -> Result<Option<Catalogue>, RemoteCacheError> {
        let bytes = match (kind, self) {
            (Kind::Manifest, _) => bytes.to_vec(),
            (Kind::Index, Self::Registry { repository, name }) => {
                let index = repository.manifest(name).await?;
                choose(repository, name, index, &crate::default_platform()).await?.bytes
            }
            (Kind::Index, Self::Layout(_) | Self::Keyed(_)) => return Ok(None),
        };
        let manifest = Manifest::parse(&bytes)?;
        if MediaType::parse(&manifest.config.media_type) != Some(MediaType::Config) {
            return Ok(None);
        }
        let config = self.document(manifest.config.clone()).await?;
        blocking(move || inline::read(&config, &manifest)).await
    }

    async fn document(&self, blob: Descriptor) -> Result<Vec<u8>, RemoteCacheError> {
        match self {
            Self::Registry { repository, .. } => {
                Ok(fetch_small(repository, &blob, CATALOGUE_BYTES_MAX).await?)
            }
            Self::Layout(layout) => {
                let layout = layout.clone();
                blocking(move || layout.document(&blob, CATALOGUE_BYTES_MAX)).await
            }
            // Its catalogue is under a name, and no blob.
            Self::Keyed(_) => Err(RemoteCacheError::NotACache { media_type: blob.media_type }),
        }
    }

    async fn manifest(&self) -> Result<Option<(Digest, Kind, Vec<u8>)>, RemoteCacheError> {
        match self {
            Self::Registry { repository, name } => match repository.manifest(name).await {
                Ok(found) => Ok(Some((found.descriptor.digest.0, found.kind, found.bytes))),
                Err(RegistryError::NoManifest { .. }) => Ok(None),
                Err(error) => Err(error.into()),
            },
            Self::Layout(layout) => {
                let layout = layout.clone();
                let read = move || {
                    let Some(descriptor) = layout.named()? else { return Ok(None) };
                    let bytes = layout.document(&descriptor, MANIFEST_BYTES_MAX)?;
                    let is_index = MediaType::parse(&descriptor.media_type) == Some(MediaType::Index);
                    let kind = if is_index { Kind::Index } else { Kind::Manifest };
                    Ok(Some((descriptor.digest.0, kind, bytes)))
                };
                blocking(read).await
            }
            Self::Keyed(_) => Ok(None),
        }
    }

    /// Brings a blob into the store, verified.
    pub(super) async fn fetch(&self, store: &Arc<Store>, blob: &Descriptor) -> Result<(), RemoteCacheError> {
        match self {
            Self::Registry { repository, .. } => {
                Ok(fetch_blob(store, repository, blob, Fetch::Ranges, &|_| ()).await?)
            }
            Self::Layout(layout) => {
                let (store, layout, blob) = (store.clone(), layout.clone(), blob.clone());
                let copy = move || {
                    let expected = Some((blob.digest, blob.size_bytes));
                    store.put_blob_from(&mut layout.open(&blob.digest)?, expected, BLOB_BYTES_MAX)?;
                    Ok(())
                };
                blocking(copy).await
            }
            Self::Keyed(keyed) => keyed.fetch(store, blob).await,
        }
    }

    /// Whether a blob need not be sent.
    pub(super) async fn has(&self, blob: &Descriptor) -> Result<bool, RemoteCacheError> {
        match self {
            Self::Registry { repository, .. } => Ok(repository.has_blob(blob).await?),
            Self::Layout(layout) => Ok(layout.has(blob)),
            Self::Keyed(keyed) => keyed.has(blob).await,
        }
    }

    /// Sends a blob of the store.
    pub(super) async fn send(&self, store: &Arc<Store>, blob: &Descriptor) -> Result<(), RemoteCacheError> {
        match self {
            Self::Registry { repository, .. } => {
                let mounting = repositories(store, &blob.digest, repository.domain())?;
                let source = Arc::new(BlobFile::open(store, &blob.digest)?);
                repository.push_blob(blob, &source, &mounting, &|_| ()).await?;
                Ok(remember(store, &blob.digest, repository)?)
            }
            Self::Layout(layout) => {
                let (store, layout, digest) = (store.clone(), layout.clone(), blob.digest);
                let copy = move || {
                    let missing = || cache::StoreError::NoBlob { digest };
                    layout.put(&digest, &mut store.open_blob(&digest)?.ok_or_else(missing)?)
                };
                blocking(copy).await
            }
            Self::Keyed(keyed) => keyed.send(store, blob).await,
        }
    }

    /// Makes the place for a cache that is not there yet, where that is up to us.
    pub(super) async fn prepare(&self) -> Result<(), RemoteCacheError> {
        match self {
            Self::Keyed(keyed) => keyed.prepare().await,
            Self::Registry { .. } | Self::Layout(_) => Ok(()),
        }
    }

    /// Keeps blobs that a build uses from being removed for their age, where they would be.
    pub(super) async fn renew(
        &self,
        blobs: impl IntoIterator<Item = Descriptor>,
    ) -> Result<(), RemoteCacheError> {
        match self {
            Self::Keyed(keyed) => keyed.renew(blobs).await,
            Self::Registry { .. } | Self::Layout(_) => Ok(()),
        }
    }

    /// Sends a blob of the store, also when one is there that has its name.
    pub(super) async fn replace(
        &self,
        store: &Arc<Store>,
        blob: &Descriptor,
    ) -> Result<(), RemoteCacheError> {
        match self {
            Self::Registry { repository, .. } => {
                let source = Arc::new(BlobFile::open(store, &blob.digest)?);
                Ok(repository.replace_blob(blob, &source, &|_| ()).await?)
            }
            Self::Layout(_) | Self::Keyed(_) => self.send(store, blob).await,
        }
    }

    /// Reads a blob that is there, to see whether it is what its name says.
    pub(super) async fn verify(&self, blob: &Descriptor) -> Result<(), RemoteCacheError> {
        match self {
            Self::Registry { repository, .. } => Ok(verify_blob(repository, blob).await?),
            // What was written was read as it was written.
            Self::Layout(_) => Ok(()),
            Self::Keyed(keyed) => keyed.verify(blob).await,
        }
    }

    /// Makes a catalogue the one that has the name. Its blobs are there already.
    pub(super) async fn publish(
        &self,
        catalogue: &Catalogue,
        export: &CacheExport,
    ) -> Result<(), RemoteCacheError> {
        let (media_type, config_bytes) = match export.format {
            CacheFormat::Slipway => (CATALOGUE_TYPE, catalogue.to_json()),
            CacheFormat::BuildKit => (BUILDKIT_TYPE, catalogue.to_buildkit_json()),
        };
        let config = document(media_type, &config_bytes);
        let form = ImageForm { media_types: export.media_types, ..ImageForm::default() };
        let blobs = match export.format {
            CacheFormat::Slipway => catalogue.blobs(),
            CacheFormat::BuildKit => catalogue.described_blobs(),
        };
        let blobs = blobs.into_values();
        let renamed = |mut blob: Descriptor| {
            if let Some(known) = MediaType::parse(&blob.media_type) {
                form.media_type(known).clone_into(&mut blob.media_type);
            }
            blob
        };
        let (media_type, bytes) = match export.shape {
            CacheShape::Manifest => {
                let mut manifest = Manifest::new(config.clone(), blobs.map(renamed).collect());
                form.media_type(MediaType::Manifest).clone_into(&mut manifest.media_type);
                (form.media_type(MediaType::Manifest), manifest.to_json())
            }
            CacheShape::Index => {
                let mut index = Index::new(blobs.map(renamed).chain([config.clone()]).collect());
                form.media_type(MediaType::Index).clone_into(&mut index.media_type);
                (form.media_type(MediaType::Index), index.to_json())
            }
        };
        match self {
            Self::Registry { repository, name } => {
                let source = Arc::new(Bytes(config_bytes.into()));
                repository.push_blob(&config, &source, &[], &|_| ()).await?;
                repository.put_manifest(name, media_type, &bytes).await?;
                Ok(())
            }
            Self::Layout(layout) => {
                let layout = layout.clone();
                let write = move || {
                    layout.put(&config.digest, &mut config_bytes.as_slice())?;
                    let descriptor = document(media_type, &bytes);
                    layout.put(&descriptor.digest, &mut bytes.as_slice())?;
                    layout.name(descriptor)
                };
                blocking(write).await
            }
            Self::Keyed(keyed) => keyed.publish(config_bytes).await,
        }
    }

    /// The repository, of a depot that is one.
    pub(crate) fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Registry { repository, .. } => Some(repository),
            Self::Layout(_) | Self::Keyed(_) => None,
        }
    }
}

fn document(media_type: &str, bytes: &[u8]) -> Descriptor {
    let digest = BlobDigest(Digest::of(bytes));
    let mut descriptor = Descriptor::new(MediaType::Config, digest, bytes.len() as u64);
    media_type.clone_into(&mut descriptor.media_type);
    descriptor
}

/// Where the catalogue of a cache is: the config of its manifest, or one of an index, as BuildKit writes both; with the
/// blobs that are named beside it.
fn config_of(kind: Kind, bytes: &[u8]) -> Result<(Descriptor, Vec<Descriptor>), RemoteCacheError> {
    let is_catalogue =
        |descriptor: &Descriptor| [CATALOGUE_TYPE, BUILDKIT_TYPE].contains(&descriptor.media_type.as_str());
    let (candidates, mut blobs) = match kind {
        Kind::Manifest => {
            let manifest = Manifest::parse(bytes)?;
            (vec![manifest.config], manifest.layers)
        }
        Kind::Index => (Index::parse(bytes)?.manifests, Vec::new()),
    };
    let media_type = candidates.first().map(|first| first.media_type.clone()).unwrap_or_default();
    let (found, others): (Vec<_>, Vec<_>) = candidates.into_iter().partition(is_catalogue);
    blobs.extend(others);
    match found.into_iter().next() {
        Some(found) => Ok((found, blobs)),
        None => Err(RemoteCacheError::NotACache { media_type }),
    }
}
