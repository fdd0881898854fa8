//! `pull`: an image from a registry, only what is missing of it.

mod choose;
mod layers;
mod sink;

use cache::Layer;
use image::{BlobDigest, Descriptor, Digest, ImageConfig, ImageId, Manifest, Platform, Reference};
use registry::{Fetch, FetchedManifest, Repository};

pub(crate) use self::layers::fetch_blob;
use self::layers::{Wanted, fetch_layers};
use self::sink::{Hashing, Memory};
use super::config::CONFIG_BYTES_MAX;
use super::error::PullError;
use super::publish::{Published, publish_as};
use super::transfer::OnTransfer;
use super::{ImageError, config};
use crate::Engine;
use crate::blocking::blocking;

pub(crate) use choose::{choose, descriptors};

/// What to pull.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PullRequest {
    /// The name: a tag, a digest or both.
    pub reference: Reference,
    /// Of an image for several platforms, which one; none is the host's.
    pub platform: Option<Platform>,
    /// What becomes of the name.
    pub naming: Naming,
}

/// What becomes of a name when an image is pulled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Naming {
    /// It is that of the image.
    #[default]
    Move,
    /// It stays with an image that is for another platform. The new image is known by its digest then, and by the
    /// name together with its platform.
    KeepOther,
    /// It is left alone: the image has no name.
    Nothing,
}

/// What was pulled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulled {
    /// The name.
    pub reference: Reference,
    /// What the name stands for in the registry: the digest of a manifest or an index.
    pub digest: Digest,
    /// The image.
    pub id: ImageId,
    /// Whether there was anything to do.
    pub freshness: Freshness,
}

/// Whether a pull brought anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// The name means another image now than before.
    Newer,
    /// All of it was here.
    UpToDate,
}

/// An image whose documents are here and right.
pub(crate) struct Described {
    pub(crate) manifest: FetchedManifest,
    pub(crate) parsed: Manifest,
    config_bytes: Vec<u8>,
    pub(crate) config: ImageConfig,
}

impl Engine {
    /// Brings an image from its registry into the store. It is named and durable when this returns.
    ///
    /// Layers are downloaded and unpacked several at a time, those that are here are not asked for. Everything is
    /// verified before it is visible. Dropping the future ends the work; layers that were finished stay.
    pub async fn pull(&self, request: &PullRequest, on_transfer: &OnTransfer) -> Result<Pulled, ImageError> {
        let pulled = self.pull_quietly(request, on_transfer).await?;
        let reference = &request.reference;
        self.note_image("pull", &reference.familiar(), &reference.familiar_name());
        Ok(pulled)
    }

    async fn pull_quietly(
        &self,
        request: &PullRequest,
        on_transfer: &OnTransfer,
    ) -> Result<Pulled, ImageError> {
        let PullRequest { reference, platform, naming } = request;
        let repository = self.registries.repository(reference)?;
        let named = repository.head_manifest(reference).await?.digest.0;
        let wanted = platform.clone().unwrap_or_else(crate::default_platform);
        let pulled = |id, freshness| Pulled { reference: reference.clone(), digest: named, id, freshness };
        let by_digest = with_digest(reference, named);
        if let Some(id) = self.known(&by_digest, &wanted)? {
            if *naming == Naming::Nothing {
                return Ok(pulled(id, Freshness::UpToDate));
            }
            let freshness = self.name(reference, &by_digest, id)?;
            super::platforms::remember(&self.store, reference, &wanted, id)?;
            return Ok(pulled(id, freshness));
        }
        let keeps_other = *naming == Naming::KeepOther && self.is_of_other_platform(reference, &wanted)?;
        let document = repository.manifest(&by_digest).await?;
        let manifest = choose(&repository, reference, document, &wanted).await?;
        let described = describe(&repository, reference, manifest).await?;
        if platform.is_some() {
            check_platform(reference, &described.config, &wanted)?;
        }
        let own_digest = with_digest(reference, described.manifest.descriptor.digest.0);
        let id = self.fetch(&repository, described, on_transfer).await?;
        if *naming == Naming::Nothing {
            self.store.make_durable()?;
            return Ok(pulled(id, Freshness::Newer));
        }
        super::platforms::remember(&self.store, reference, &wanted, id)?;
        let freshness = match keeps_other {
            true => self.name(&own_digest, &own_digest, id)?,
            false => self.name(reference, &by_digest, id)?,
        };
        Ok(pulled(id, freshness))
    }

    /// Brings the images for all platforms that an index names. The one for this machine gets the name, the others
    /// are known by the digests of their manifests.
    pub async fn pull_all_platforms(
        &self,
        reference: &Reference,
        on_transfer: &OnTransfer,
    ) -> Result<Vec<Pulled>, ImageError> {
        let repository = self.registries.repository(reference)?;
        let document = repository.manifest(reference).await?;
        let mut all = Vec::new();
        for descriptor in choose::every_platform(reference, &document)? {
            let platform = descriptor.platform.clone();
            let by_digest = with_digest(reference, descriptor.digest.0);
            let request = PullRequest { reference: by_digest, platform, naming: Naming::Move };
            all.push(self.pull(&request, on_transfer).await?);
        }
        let own = PullRequest { reference: reference.clone(), platform: None, naming: Naming::Move };
        match self.pull(&own, on_transfer).await {
            Ok(pulled) => all.push(pulled),
            // Others were asked for as well, and they are here.
            Err(ImageError::Pull(PullError::NoPlatform { .. })) if !all.is_empty() => {}
            Err(error) => return Err(error),
        }
        Ok(all)
    }

    /// All tags of a repository.
    pub async fn remote_tags(&self, repository: &Reference) -> Result<Vec<Reference>, ImageError> {
        let tags = self.registries.repository(repository)?.tags().await?;
        let base = format!("{}/{}", repository.domain(), repository.path());
        Ok(tags.iter().map(|tag| format!("{base}:{tag}").parse()).collect::<Result<_, _>>()?)
    }

    /// The image that the store knows by this digest of a registry, if it is one for the platform.
    fn known(&self, by_digest: &Reference, wanted: &Platform) -> Result<Option<ImageId>, ImageError> {
        let Some(id) = self.store.resolve(by_digest)? else { return Ok(None) };
        let found = super::read_config(&self.store, &id)?.platform();
        Ok((found.os == wanted.os && found.architecture == wanted.architecture).then_some(id))
    }

    /// Whether a name means an image for another platform.
    pub(crate) fn is_of_other_platform(
        &self,
        reference: &Reference,
        wanted: &Platform,
    ) -> Result<bool, ImageError> {
        let Some(id) = self.store.resolve(reference)? else { return Ok(false) };
        let found = super::read_config(&self.store, &id)?.platform();
        Ok((found.os, found.architecture) != (wanted.os.clone(), wanted.architecture.clone()))
    }

    async fn fetch(
        &self,
        repository: &Repository,
        described: Described,
        on_transfer: &OnTransfer,
    ) -> Result<ImageId, ImageError> {
        let Described { manifest, parsed, config_bytes, config } = described;
        let pairs = config.rootfs.diff_ids.iter().copied().zip(&parsed.layers);
        let wanted: Vec<Wanted> =
            pairs.map(|(diff_id, blob)| Wanted { diff_id, blob: blob.clone() }).collect();
        let fetched = fetch_layers(&self.store, repository, &wanted, on_transfer).await?;
        let layers: Vec<Layer> = wanted.iter().map(|wanted| fetched[&wanted.diff_id].clone()).collect();
        let store = self.store.clone();
        blocking(move || {
            let manifest = store.put_blob(&manifest.bytes)?;
            publish_as(
                &store,
                &Published {
                    bytes: &config_bytes,
                    config: &config,
                    layers: &layers,
                    clamp_mtime: None,
                    manifest: Some(manifest),
                },
            )
        })
        .await
    }

    /// Gives the image its names, durably; whether one of them is new.
    fn name(
        &self,
        reference: &Reference,
        by_digest: &Reference,
        id: ImageId,
    ) -> Result<Freshness, ImageError> {
        let mut freshness = Freshness::UpToDate;
        // A name with a tag and a digest is known by the digest.
        let tag = Some(reference).filter(|reference| reference.digest().is_none());
        for name in tag.into_iter().chain([by_digest]) {
            if self.store.tag(name, &id)? != Some(id) {
                freshness = Freshness::Newer;
            }
        }
        self.store.make_durable()?;
        Ok(freshness)
    }
}

/// The documents of an image, without its layers; with the digest that its name stands for.
pub(crate) async fn describe_image(
    engine: &Engine,
    reference: &Reference,
    platform: &Platform,
) -> Result<(Digest, Described), ImageError> {
    let repository = engine.registries.repository(reference)?;
    let document = repository.manifest(reference).await?;
    let named = document.descriptor.digest.0;
    let manifest = choose(&repository, reference, document, platform).await?;
    let described = describe(&repository, reference, manifest).await?;
    check_platform(reference, &described.config, platform)?;
    Ok((named, described))
}

/// The same repository, by digest.
pub(crate) fn with_digest(reference: &Reference, digest: Digest) -> Reference {
    let text = format!("{}/{}@{digest}", reference.domain(), reference.path());
    text.parse().expect("a repository with a digest is a name")
}

/// Reads the config of a manifest, and checks that both fit together.
async fn describe(
    repository: &Repository,
    reference: &Reference,
    manifest: FetchedManifest,
) -> Result<Described, ImageError> {
    let unusable = |source| PullError::Manifest { name: reference.familiar(), source };
    let parsed = Manifest::parse(&manifest.bytes).map_err(unusable)?;
    let config_bytes = fetch_small(repository, &parsed.config, CONFIG_BYTES_MAX).await?;
    let id = ImageId(parsed.config.digest.0);
    let config = config::parse_config(&config_bytes, &id)
        .map_err(|_| PullError::Config { name: reference.familiar(), digest: parsed.config.digest })?;
    let (layers, diff_ids) = (parsed.layers.len(), config.rootfs.diff_ids.len());
    if layers != diff_ids {
        return Err(PullError::LayerCount { name: reference.familiar(), layers, diff_ids }.into());
    }
    if config.os != "linux" {
        let (name, os) = (reference.familiar(), config.os);
        return Err(PullError::OperatingSystem { name, os }.into());
    }
    Ok(Described { manifest, parsed, config_bytes, config })
}

/// A small blob in memory, verified.
pub(crate) async fn fetch_small(
    repository: &Repository,
    blob: &Descriptor,
    size_bytes_max: u64,
) -> Result<Vec<u8>, ImageError> {
    if blob.size_bytes > size_bytes_max {
        let (digest, size_bytes) = (blob.digest, blob.size_bytes);
        return Err(PullError::TooLarge { digest, size_bytes, size_bytes_max }.into());
    }
    let memory = Memory::default();
    repository.fetch_blob(blob, Fetch::Whole, &memory, &|_| ()).await?;
    let bytes = memory.into_bytes();
    let actual = BlobDigest(Digest::of(&bytes));
    if actual != blob.digest {
        return Err(cache::StoreError::WrongDigest { expected: blob.digest, actual }.into());
    }
    Ok(bytes)
}

/// Reads a blob of any size to see whether it is what its name says.
pub(crate) async fn verify_blob(repository: &Repository, blob: &Descriptor) -> Result<(), ImageError> {
    let hashing = Hashing::default();
    repository.fetch_blob(blob, Fetch::Whole, &hashing, &|_| ()).await?;
    let actual = BlobDigest(hashing.finish());
    if actual != blob.digest {
        return Err(cache::StoreError::WrongDigest { expected: blob.digest, actual }.into());
    }
    Ok(())
}

fn check_platform(reference: &Reference, config: &ImageConfig, wanted: &Platform) -> Result<(), PullError> {
    let found = config.platform();
    if found.os == wanted.os && found.architecture == wanted.architecture {
        return Ok(());
    }
    Err(PullError::NoPlatform {
        name: reference.familiar(),
        wanted: wanted.to_string(),
        found: vec![found.to_string()],
    })
}
