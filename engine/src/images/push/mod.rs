//! `push`: an image to a registry, only what it misses.

mod away;
mod parts;
mod source;

use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use image::{BlobDigest, Descriptor, Digest, MediaType, Reference};
use registry::{Pushed, Repository};
use tokio::sync::Semaphore;

pub(crate) use self::away::AwayPush;
use self::parts::{CameWith, Layer, Parts, plan};
pub(crate) use self::source::{BlobFile, Bytes};
use super::blob_source::{remember, repositories};
use super::compress::compressed;
use super::documents::{ATTESTATION_ARTIFACT, Described, Document, Documents};
use super::error::PushError;
use super::form::ImageForm;
use super::platforms::set_of;
use super::pull::with_digest;
use super::transfer::{OnTransfer, Stage, Teller};
use super::{ImageError, ImageSet, Member, preferred, stored};
use crate::Engine;
use crate::blocking::blocking;

/// Layers that are on their way at the same time.
const LAYERS_AT_ONCE_MAX: usize = 5;

/// What to push.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushRequest {
    /// The name, which says where it goes.
    pub reference: Reference,
    /// How the image is known there.
    pub push_as: PushAs,
    /// Its form; an image that came from a registry leaves as it came unless it says something.
    pub form: ImageForm,
}

/// How a pushed image is known in the registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PushAs {
    /// By its tag.
    #[default]
    Tag,
    /// By its digest alone (`push-by-digest`).
    Digest,
}

impl PushRequest {
    /// By its tag, in the usual form.
    pub fn new(reference: Reference) -> Self {
        Self { reference, push_as: PushAs::Tag, form: ImageForm::default() }
    }
}

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PushedImage {
    /// The name.
    pub reference: Reference,
    /// Its manifest, by whose digest it can be pulled from now on.
    pub manifest: Descriptor,
}

/// What all layers of a push share.
struct Push<'a> {
    engine: &'a Engine,
    repository: &'a Repository,
    form: &'a ImageForm,
    on_transfer: &'a OnTransfer,
    /// One layer is compressed at a time, on all cores.
    compressing: Semaphore,
}

impl Engine {
    /// Sends an image to the registry in its name.
    ///
    /// What the registry has already is not sent, what it has in another repository it takes over from there. An image
    /// that came from a registry leaves with the manifest that it came with, if all of it is here. Images that were
    /// built together for several platforms leave together, as an index.
    ///
    /// # Errors
    ///
    /// [`PushError::NoSuchImage`] when no image has the name; [`ImageError::Registry`].
    pub async fn push(
        &self,
        request: &PushRequest,
        on_transfer: &OnTransfer,
    ) -> Result<PushedImage, ImageError> {
        let reference = &request.reference;
        let id = self.store.resolve(reference)?;
        let id = id.ok_or_else(|| PushError::NoSuchImage { name: reference.familiar() })?;
        if reference.digest().is_some() {
            return Err(PushError::WithDigest { name: reference.familiar() }.into());
        }
        let set = set_of(&self.store, reference, id)?;
        self.push_set(request, &set, on_transfer).await
    }

    /// The same for images of the store, whatever their names.
    ///
    /// # Errors
    ///
    /// [`ImageError::Registry`].
    pub async fn push_set(
        &self,
        request: &PushRequest,
        set: &ImageSet,
        on_transfer: &OnTransfer,
    ) -> Result<PushedImage, ImageError> {
        let PushRequest { reference, push_as: _, form } = request;
        let repository = self.registries.repository(reference)?;
        let compressing = Semaphore::new(1);
        let push = Push { engine: self, repository: &repository, form, on_transfer, compressing };
        let mut described = Vec::new();
        for member in &set.members {
            described.push(push.image(member).await?);
        }
        let documents = Documents::new(described, std::slice::from_ref(reference), form);
        let by_digest = put_documents(&repository, request, &documents).await?;
        let top = documents.top();
        for (manifest, member) in documents.manifests.iter().zip(&set.members) {
            self.store.tag(&with_digest(reference, manifest.descriptor.digest.0), &member.id)?;
        }
        let named = &set.members[preferred(&set.platforms(&self.store)?)];
        self.store.tag(&by_digest, &named.id)?;
        self.store.make_durable()?;
        self.note_image("push", &reference.familiar(), &reference.familiar_name());
        Ok(PushedImage { reference: reference.clone(), manifest: top.descriptor.clone() })
    }

    /// The names of a repository in the store, for a push of all of them.
    pub fn local_tags(&self, repository: &Reference) -> Result<Vec<Reference>, ImageError> {
        let is_same = |other: &Reference| {
            other.domain() == repository.domain()
                && other.path() == repository.path()
                && other.tag().is_some()
        };
        Ok(self.store.tags()?.into_iter().map(|(name, _)| name).filter(is_same).collect())
    }
}

/// Brings the documents into the repository, last the one that gets the name; by which digest it is known.
async fn put_documents(
    repository: &Repository,
    request: &PushRequest,
    documents: &Documents,
) -> Result<Reference, ImageError> {
    let reference = &request.reference;
    if documents.index.is_some() {
        put_parts(repository, reference, documents).await?;
    }
    let top = documents.top();
    let by_digest = with_digest(reference, top.descriptor.digest.0);
    let name = match request.push_as {
        PushAs::Tag => reference,
        PushAs::Digest => &by_digest,
    };
    repository.put_manifest(name, &top.descriptor.media_type, &top.bytes).await?;
    Ok(by_digest)
}

/// Brings everything that an index names into the repository.
async fn put_parts(
    repository: &Repository,
    reference: &Reference,
    documents: &Documents,
) -> Result<(), ImageError> {
    for Document { descriptor, bytes } in &documents.manifests {
        let name = with_digest(reference, descriptor.digest.0);
        repository.put_manifest(&name, &descriptor.media_type, bytes).await?;
    }
    for Document { descriptor, bytes } in &documents.blobs {
        let source = Arc::new(Bytes(bytes.clone().into()));
        repository.push_blob(descriptor, &source, &[], &|_| ()).await?;
    }
    for (subject, Document { descriptor, bytes }) in &documents.attestations {
        repository.put_referrer(descriptor, ATTESTATION_ARTIFACT, bytes, subject).await?;
    }
    Ok(())
}

impl Push<'_> {
    /// Brings the config and the layers of an image into the repository.
    async fn image(&self, member: &Member) -> Result<Described, ImageError> {
        let (store, id) = (self.engine.store.clone(), member.id);
        let is_plain = *self.form == ImageForm::default();
        let came_with = if is_plain { CameWith::Manifest } else { CameWith::Nothing };
        let parts = blocking(move || plan(&store, &stored(&store, &id)?, came_with)).await?;
        let layers = self.layers(&parts).await?;
        self.config(&parts).await?;
        let manifest = parts.manifest(layers, self.form);
        Ok(Described { manifest, platform: parts.platform, predicates: member.predicates.clone() })
    }

    /// Brings every layer into the repository; how each of them travels, in order.
    async fn layers(&self, parts: &Parts) -> Result<Vec<Descriptor>, ImageError> {
        for layer in &parts.layers {
            Teller::new(&layer.tar.diff_id.0, self.on_transfer).tell(Stage::Preparing);
        }
        stream::iter(&parts.layers)
            .map(|layer| self.layer(layer))
            .buffered(LAYERS_AT_ONCE_MAX)
            .try_collect()
            .await
    }

    async fn layer(&self, layer: &Layer) -> Result<Descriptor, ImageError> {
        let teller = Teller::new(&layer.tar.diff_id.0, self.on_transfer);
        let descriptor = match &layer.as_it_came {
            Some(descriptor) if !descriptor.urls.is_empty() => {
                teller.tell(Stage::Foreign);
                return Ok(descriptor.clone());
            }
            Some(descriptor) => descriptor.clone(),
            None => {
                let _slot = self.compressing.acquire().await.expect("nobody closes the slots");
                let (store, tar, form) =
                    (self.engine.store.clone(), layer.tar.clone(), self.form.layers.clone());
                blocking(move || compressed(&store, &tar, &form, &|_, _, _| ())).await?
            }
        };
        let source = BlobFile::open(&self.engine.store, &descriptor.digest)?;
        let pushed = self.blob(&descriptor, source, &teller).await?;
        teller.tell(match pushed {
            Pushed::There => Stage::PresentThere,
            Pushed::Mounted { from } => Stage::Mounted { from },
            Pushed::Sent => Stage::Pushed,
        });
        Ok(descriptor)
    }

    async fn blob<S: registry::Source>(
        &self,
        descriptor: &Descriptor,
        source: S,
        teller: &Teller,
    ) -> Result<Pushed, ImageError> {
        let store = &self.engine.store;
        let mounting = repositories(store, &descriptor.digest, self.repository.domain())?;
        let total = descriptor.size_bytes;
        let on_bytes = |current| teller.tell(Stage::Pushing { current, total });
        let pushed = self.repository.push_blob(descriptor, &Arc::new(source), &mounting, &on_bytes).await?;
        remember(store, &descriptor.digest, self.repository)?;
        Ok(pushed)
    }

    async fn config(&self, parts: &Parts) -> Result<(), ImageError> {
        let digest = BlobDigest(Digest::of(&parts.config));
        let descriptor = Descriptor::new(MediaType::Config, digest, parts.config.len() as u64);
        let source = Arc::new(Bytes(parts.config.clone().into()));
        self.repository.push_blob(&descriptor, &source, &[], &|_| ()).await?;
        Ok(())
    }
}
