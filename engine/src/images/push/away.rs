//! Pushes an image whose layers are not all here: what the registry has already does not have to come.

use std::io;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use image::{BlobDigest, Descriptor, Digest, ImageConfig, MediaType};
use registry::Source;
use tokio::sync::OnceCell;

use super::source::BlobFile;
use super::{Bytes, LAYERS_AT_ONCE_MAX, PushRequest, PushedImage, put_documents};
use crate::images::blob_source::{remember, repositories};
use crate::images::compress::compressed;
use crate::images::documents::{Described, Document, Documents};
use crate::images::set::Predicate;
use crate::images::{ImageError, LayerTar};
use crate::remote_cache::{AwayLayer, Link};
use crate::{Engine, blocking::blocking};

/// An image of which some layers are known and not here.
pub(crate) struct AwayPush<'a> {
    pub(crate) config_bytes: &'a [u8],
    pub(crate) config: &'a ImageConfig,
    /// The layers that its config names.
    pub(crate) links: &'a [Link],
    pub(crate) clamp_mtime: Option<i64>,
    /// What is attested of it.
    pub(crate) predicates: &'a [Predicate],
}

/// A blob that comes when the first byte of it is asked for.
struct Coming {
    engine: Engine,
    layer: Arc<AwayLayer>,
    file: OnceCell<BlobFile>,
}

impl Source for Coming {
    async fn read_at(&self, offset: u64, length: usize) -> io::Result<bytes::Bytes> {
        let fetch = || async {
            let digest = &self.layer.blob.digest;
            if self.engine.store.open_blob(digest).map_err(io::Error::other)?.is_none() {
                self.layer.fetch_blob(&self.engine).await.map_err(io::Error::other)?;
            }
            BlobFile::open(&self.engine.store, &self.layer.blob.digest).map_err(io::Error::other)
        };
        self.file.get_or_try_init(fetch).await?.read_at(offset, length).await
    }
}

impl Engine {
    /// Sends an image to the registry in its name. What is neither here nor there goes through the store.
    pub(crate) async fn push_away(
        &self,
        request: &PushRequest,
        image: &AwayPush<'_>,
    ) -> Result<PushedImage, ImageError> {
        let PushRequest { reference, push_as: _, form } = request;
        let repository = self.registries.repository(reference)?;
        let pairs = image.links.iter().zip(&image.config.rootfs.diff_ids);
        let layers = pairs.map(|(link, diff_id)| async {
            match link {
                Link::Away(layer) => self.push_coming(&repository, layer).await,
                Link::Here(id) => {
                    let (store, id, diff_id, clamp) = (self.store.clone(), *id, *diff_id, image.clamp_mtime);
                    let (image, form) = (image::ImageId(Digest::of(image.config_bytes)), form.layers.clone());
                    let compress = move || {
                        let layer = store.layer(&id)?.ok_or(cache::StoreError::NoLayer { id })?;
                        let tar = LayerTar::new(image, diff_id, layer, clamp);
                        compressed(&store, &tar, &form, &|_, _, _| ())
                    };
                    let descriptor = blocking(compress).await?;
                    let source = Arc::new(BlobFile::open(&self.store, &descriptor.digest)?);
                    let from = repositories(&self.store, &descriptor.digest, repository.domain())?;
                    repository.push_blob(&descriptor, &source, &from, &|_| ()).await?;
                    Ok(descriptor)
                }
            }
        });
        let layers: Vec<Descriptor> =
            stream::iter(layers).buffered(LAYERS_AT_ONCE_MAX).try_collect::<Vec<_>>().await?;
        let bytes = image.config_bytes;
        let config = Descriptor::new(MediaType::Config, BlobDigest(Digest::of(bytes)), bytes.len() as u64);
        let source = Arc::new(Bytes(bytes.to_vec().into()));
        repository.push_blob(&config, &source, &[], &|_| ()).await?;
        let platform = image.config.platform();
        let manifest = form.manifest(config, layers, &platform);
        let manifest = Document::new(&manifest.media_type, manifest.to_json());
        let described = Described { manifest, platform, predicates: image.predicates.to_vec() };
        let documents = Documents::new(vec![described], std::slice::from_ref(reference), form);
        put_documents(&repository, request, &documents).await?;
        let descriptor = documents.top().descriptor.clone();
        Ok(PushedImage { reference: reference.clone(), manifest: descriptor })
    }

    async fn push_coming(
        &self,
        repository: &registry::Repository,
        layer: &Arc<AwayLayer>,
    ) -> Result<Descriptor, ImageError> {
        let descriptor = layer.blob.clone();
        // Only other servers may have it.
        if !descriptor.urls.is_empty() {
            return Ok(descriptor);
        }
        let mut mounting = repositories(&self.store, &descriptor.digest, repository.domain())?;
        let from = layer.repository(self)?.filter(|from| from.domain() == repository.domain());
        mounting.extend(from.map(|from| from.path().to_owned()));
        let source = Coming { engine: self.clone(), layer: layer.clone(), file: OnceCell::new() };
        repository.push_blob(&descriptor, &Arc::new(source), &mounting, &|_| ()).await?;
        remember(&self.store, &descriptor.digest, repository)?;
        Ok(descriptor)
    }
}
