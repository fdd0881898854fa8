//! Layers of remote caches that a push takes along: whether they are there, and what they should be.

use std::sync::Arc;

use cache::Store;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use image::Reference;
use registry::Fetch;

use super::away::{LAYERS_AT_ONCE_MAX, claim, in_time};
use super::passing::Passing;
use super::{AwayLayer, AwayLayers, Depot, Link, Lost, Origin, RemoteCacheError};
use crate::Engine;
use crate::blocking::blocking;
use crate::images::{ImageError, fetch_blob};

impl Engine {
    /// Makes sure that an image of these layers can be pushed to `names`. What their registries do not share with the
    /// remote cache comes into the store as it travels, and its diff id is verified; of the rest the cache is asked.
    pub(crate) async fn promise(&self, away: &AwayLayers, names: &[Reference]) -> Result<(), Lost> {
        let failed = |error: registry::RegistryError| Lost::Build(Box::new(ImageError::from(error).into()));
        let repositories: Result<Vec<_>, _> =
            names.iter().map(|name| self.registries.repository(name)).collect();
        let repositories = repositories.map_err(failed)?;
        let domains: Vec<&str> = repositories.iter().map(registry::Repository::domain).collect();
        let layers = away.links.iter().filter_map(|link| match link {
            Link::Away(layer) => Some(layer),
            Link::Here(_) => None,
        });
        let promised: Vec<_> = layers.map(|layer| self.promise_layer(layer, &domains)).collect();
        stream::iter(promised).buffered(LAYERS_AT_ONCE_MAX).try_collect().await
    }

    async fn promise_layer(&self, layer: &Arc<AwayLayer>, domains: &[&str]) -> Result<(), Lost> {
        let Origin::Cache(depot) = &layer.origin else { return Ok(()) };
        // Only other servers have it, and it is not pushed.
        if !layer.blob.urls.is_empty() {
            return Ok(());
        }
        let from = depot.repository().map(registry::Repository::domain);
        let is_shared = domains.iter().all(|domain| from == Some(*domain));
        let promised = match is_shared {
            true => in_time(0, is_there(depot, layer)).await,
            false => fetch_verified(&self.store, depot, layer).await,
        };
        promised.map_err(|error| Lost::Layer { layer: layer.clone(), error })
    }
}

async fn is_there(depot: &Depot, layer: &AwayLayer) -> Result<(), RemoteCacheError> {
    match depot.has(&layer.blob).await? {
        true => Ok(()),
        false => Err(RemoteCacheError::Gone { digest: layer.blob.digest }),
    }
}

/// Brings a blob into the store, in time, and keeps it if it has the layer's diff id. Nothing is unpacked.
async fn fetch_verified(
    store: &Arc<Store>,
    depot: &Depot,
    layer: &AwayLayer,
) -> Result<(), RemoteCacheError> {
    let coming = async {
        let AwayLayer { diff_id, blob, .. } = layer;
        // Who fetches and unpacks it at the same time takes the blob away again.
        let _claim = claim(store, diff_id).await?;
        let passing = Passing::new(store);
        passing.bring(depot, blob).await?;
        let (store, digest, expected) = (store.clone(), blob.digest, *diff_id);
        blocking(move || store.verify_blob(&digest, expected)).await?;
        passing.keep(&digest);
        Ok(())
    };
    in_time(layer.blob.size_bytes, coming).await
}

impl AwayLayer {
    /// Brings it into the store as it travels, verified. What comes from a remote cache comes in time, and has its
    /// diff id.
    pub(crate) async fn fetch_blob(&self, engine: &Engine) -> Result<(), RemoteCacheError> {
        match &self.origin {
            Origin::Cache(depot) => fetch_verified(&engine.store, depot, self).await,
            Origin::Base(base) => {
                let repository = engine.registries.repository(&base.by_digest)?;
                Ok(fetch_blob(&engine.store, &repository, &self.blob, Fetch::Ranges, &|_| ()).await?)
            }
        }
    }
}
