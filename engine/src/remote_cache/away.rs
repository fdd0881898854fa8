//! Layers that are known and not here: who has them, and how they come.

use std::sync::Arc;
use std::time::Duration;

use cache::{KeyLock, LayerId, Store};
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use image::{Descriptor, DiffId, Platform, Reference};
use registry::{RegistryError, Repository};

use super::passing::Passing;
use super::{Depot, RemoteCacheError};
use crate::blocking::blocking;
use crate::images::{Naming, OnTransfer, PullRequest, is_needed, load_key, platforms};
use crate::{BuildError, Engine};

/// Layers that are on their way at the same time.
pub(super) const LAYERS_AT_ONCE_MAX: usize = 8;
/// How long to wait before asking again for a layer that another process fetches.
const CLAIM_POLL: Duration = Duration::from_millis(20);
/// How long a layer of any size may take, beside its bytes.
const LAYER_WAIT: Duration = Duration::from_secs(60);
/// The slowest line that is still a help.
const BYTES_PER_SECOND_MIN: u64 = 512 << 10;

/// A chain of layers, lowest first, of which some are not here.
#[derive(Clone)]
pub(crate) struct AwayLayers {
    pub(crate) links: Arc<[Link]>,
    /// When the topmost was made; nanoseconds since 1970.
    pub(crate) created_unix_ns: i64,
    /// What the store is to remember once all of them are here.
    pub(crate) record: Option<Arc<cache::Record>>,
}

/// One layer of such a chain.
#[derive(Clone)]
pub(crate) enum Link {
    /// It is in the store.
    Here(LayerId),
    /// It is not.
    Away(Arc<AwayLayer>),
}

impl Link {
    /// The layer in the store, if it is there by now.
    pub(crate) fn here(&self, store: &Store) -> Result<Option<LayerId>, cache::StoreError> {
        match self {
            Self::Here(id) => Ok(Some(*id)),
            Self::Away(layer) => Ok(store.layer_by_diff_id(&layer.diff_id)?.map(|layer| layer.id())),
        }
    }
}

/// A layer that somebody else has.
pub(crate) struct AwayLayer {
    pub(crate) diff_id: DiffId,
    /// How it travels.
    pub(crate) blob: Descriptor,
    /// `SOURCE_DATE_EPOCH` of the build that made it.
    pub(crate) epoch: Option<i64>,
    pub(crate) origin: Origin,
}

/// Who has a layer.
pub(crate) enum Origin {
    /// A remote cache.
    Cache(Arc<Depot>),
    /// The registry of a base image, whose layers come together.
    Base(Arc<AwayBase>),
}

/// A base image of which only the documents have come.
#[derive(Clone)]
pub(crate) struct AwayBase {
    /// Its name in the Dockerfile.
    pub(crate) reference: Reference,
    /// The same, by the digest of its manifest.
    pub(crate) by_digest: Reference,
    pub(crate) platform: Platform,
    /// What to say when it does not come: the line that asks for it.
    pub(crate) rendered: String,
}

/// Why layers did not come.
pub(crate) enum Lost {
    /// A remote cache does not have what it promised: whatever stands on this layer is a miss.
    Layer { layer: Arc<AwayLayer>, error: RemoteCacheError },
    /// Something that the build cannot do without.
    Build(Box<BuildError>),
}

impl From<cache::StoreError> for Lost {
    fn from(error: cache::StoreError) -> Self {
        Self::Build(Box::new(error.into()))
    }
}

impl Engine {
    /// Brings all layers of a chain into the store. Each comes once, whoever asks for it at the same time.
    pub(crate) async fn bring(&self, away: &AwayLayers) -> Result<Arc<[LayerId]>, Lost> {
        let brought: Vec<_> = away.links.iter().map(|link| self.bring_link(link)).collect();
        let ids: Vec<LayerId> = stream::iter(brought).buffered(LAYERS_AT_ONCE_MAX).try_collect().await?;
        if let Some(record) = &away.record {
            self.store.put_record(&cache::Record { layers: ids.clone(), ..cache::Record::clone(record) })?;
        }
        Ok(ids.into())
    }

    async fn bring_link(&self, link: &Link) -> Result<LayerId, Lost> {
        let layer = match link {
            Link::Here(id) => return Ok(*id),
            Link::Away(layer) => layer,
        };
        if let Some(here) = self.store.layer_by_diff_id(&layer.diff_id)? {
            return Ok(here.id());
        }
        match &layer.origin {
            Origin::Base(base) => {
                self.bring_base(base, layer).await.map_err(|error| Lost::Build(error.into()))
            }
            Origin::Cache(depot) => {
                let brought = in_time(layer.blob.size_bytes, bring_layer(&self.store, depot, layer)).await;
                brought.map_err(|error| Lost::Layer { layer: layer.clone(), error })
            }
        }
    }

    /// Pulls the whole image: its other layers will be needed as well.
    async fn bring_base(&self, base: &AwayBase, layer: &AwayLayer) -> Result<LayerId, BuildError> {
        let failed = |source| BuildError::Pull {
            reference: base.reference.clone(),
            rendered: base.rendered.clone(),
            source: Box::new(source),
        };
        let nobody: OnTransfer = Arc::new(|_| ());
        let request = PullRequest {
            reference: base.by_digest.clone(),
            platform: Some(base.platform.clone()),
            naming: Naming::KeepOther,
        };
        let pulled = self.pull(&request, &nobody).await.map_err(failed)?;
        // As a pull by name, which moves no name away from an image for another platform.
        platforms::remember(&self.store, &base.reference, &base.platform, pulled.id)?;
        let is_other = self.is_of_other_platform(&base.reference, &base.platform).map_err(failed)?;
        if base.reference.digest().is_none() && !is_other {
            self.store.tag(&base.reference, &pulled.id)?;
        }
        let here = self.store.layer_by_diff_id(&layer.diff_id)?;
        let missing = || crate::images::ImageError::Damaged {
            id: pulled.id,
            what: format!("layer {} is gone", layer.diff_id),
        };
        Ok(here.ok_or_else(missing).map_err(failed)?.id())
    }
}

/// Waits for so many bytes, and not longer than they are a help.
pub(super) async fn in_time<T>(
    size_bytes: u64,
    coming: impl Future<Output = Result<T, RemoteCacheError>>,
) -> Result<T, RemoteCacheError> {
    let wait = LAYER_WAIT + Duration::from_secs(size_bytes / BYTES_PER_SECOND_MIN);
    let came = tokio::time::timeout(wait, coming).await;
    came.unwrap_or(Err(RemoteCacheError::TimedOut { waited: wait }))
}

async fn bring_layer(
    store: &Arc<Store>,
    depot: &Depot,
    layer: &AwayLayer,
) -> Result<LayerId, RemoteCacheError> {
    let AwayLayer { diff_id, blob, .. } = layer;
    // Two builds at a time fetch and unpack once.
    let _claim = claim(store, diff_id).await?;
    if let Some(here) = store.layer_by_diff_id(diff_id)? {
        return Ok(here.id());
    }
    let passing = Passing::new(store);
    passing.bring(depot, blob).await?;
    let here = unpack(store, layer).await?;
    if is_needed(&here, *diff_id, &blob.digest)? {
        passing.keep(&blob.digest);
    }
    Ok(here.id())
}

async fn unpack(store: &Arc<Store>, layer: &AwayLayer) -> Result<cache::Layer, cache::StoreError> {
    let (store, digest, diff_id) = (store.clone(), layer.blob.digest, layer.diff_id);
    blocking(move || store.unpack_made_blob(&digest, diff_id)).await
}

/// Waits until nobody else brings this layer.
pub(super) async fn claim(store: &Store, diff_id: &DiffId) -> Result<KeyLock, cache::StoreError> {
    let key = load_key(diff_id);
    loop {
        if let Some(lock) = store.try_lock_key(&key)? {
            return Ok(lock);
        }
        tokio::time::sleep(CLAIM_POLL).await;
    }
}

impl AwayLayer {
    /// The repository that has it, if it is one.
    pub(crate) fn repository(&self, engine: &Engine) -> Result<Option<Repository>, RegistryError> {
        match &self.origin {
            Origin::Cache(depot) => Ok(depot.repository().cloned()),
            Origin::Base(base) => engine.registries.repository(&base.by_digest).map(Some),
        }
    }
}
