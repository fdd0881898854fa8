//! What clients have as OCI layouts: images as contexts, and caches in directories.

use std::path::PathBuf;
use std::sync::Arc;

use engine::NamedContext;
use engine::images::LayoutName;
use engine::remote_cache::{CacheExport, CacheFailure, CachePlace};
use image::{BlobDigest, Platform};
use serde_json::json;
use tonic::Status;

use crate::caches::CacheExports;
use crate::content::{CACHE_PREFIX, LAYOUT_PREFIX};
use crate::feed::Feed;
use crate::session::content::ClientStore;
use crate::session::files::joined;
use crate::session::{KeptDirectories, KeptDirectory, Session, layout};

/// Directories that are held as long as something needs them.
pub(crate) type Held = Vec<Arc<KeptDirectory>>;

/// An image of a layout of a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LayoutImage {
    /// The name that the client gave the layout.
    pub(crate) store: String,
    pub(crate) digest: BlobDigest,
}

impl LayoutImage {
    /// `NAME[:TAG]@DIGEST`. The tag is for people.
    pub(crate) fn parse(text: &str) -> Result<Self, Status> {
        let without = || Status::invalid_argument(format!("oci-layout reference `{text}` has no digest"));
        let (name, digest) = text.rsplit_once('@').ok_or_else(without)?;
        let last = name.rfind('/').map_or(0, |slash| slash + 1);
        let end = name[last..].find(':').map_or(name.len(), |colon| last + colon);
        Ok(Self { store: name[..end].to_owned(), digest: layout::digest(digest)? })
    }
}

/// A directory for what has this name, which nobody else uses meanwhile.
pub(crate) async fn kept(
    session: &Session,
    kept: &Arc<KeptDirectories>,
    name: &str,
) -> Result<Arc<KeptDirectory>, Status> {
    let (kept, name) = (kept.clone(), format!("{}\0content\0{name}", session.shared_key));
    let taken = joined(crate::blocking::spawn_blocking(move || kept.take(&name))).await?;
    taken.map(Arc::new).map_err(|error| Status::internal(error.to_string()))
}

/// Brings an image of a client's layout, for the platforms that a build needs.
pub(crate) async fn image(
    session: &Arc<Session>,
    directories: &Arc<KeptDirectories>,
    image: &LayoutImage,
    platforms: &[Platform],
) -> Result<(NamedContext, Arc<KeptDirectory>), Status> {
    let LayoutImage { store, digest } = image;
    let store = ClientStore::new(session, &format!("{LAYOUT_PREFIX}{store}"))?;
    // Clients give the same layout another name in each build.
    let directory = kept(session, directories, &format!("{LAYOUT_PREFIX}{digest}")).await?;
    layout::bring(&store, directory.path(), digest, platforms).await?;
    let path = directory.path().to_owned();
    Ok((NamedContext::Layout { path, name: Some(LayoutName::Digest(*digest)) }, directory))
}

/// The config of an image of a client's layout for a platform, and nothing else of it.
pub(crate) async fn config(
    session: &Arc<Session>,
    image: &LayoutImage,
    platform: &Platform,
) -> Result<Vec<u8>, Status> {
    let store = ClientStore::new(session, &format!("{LAYOUT_PREFIX}{}", image.store))?;
    layout::config(&store, &image.digest, platform).await
}

/// Brings a cache that a client has in a directory.
pub(crate) async fn cache(
    session: &Arc<Session>,
    directories: &Arc<KeptDirectories>,
    source: &str,
    digest: &BlobDigest,
) -> Result<(PathBuf, Arc<KeptDirectory>), Status> {
    let name = format!("{CACHE_PREFIX}{source}");
    let store = ClientStore::new(session, &name)?;
    let directory = kept(session, directories, &name).await?;
    layout::bring(&store, directory.path(), digest, &[]).await?;
    Ok((directory.path().to_owned(), directory))
}

/// Caches that leave for directories of the client, once they are written.
pub(crate) struct Outgoing(Vec<OutgoingCache>);

struct OutgoingCache {
    store: ClientStore,
    /// Where it is written first. What stays there need not be made again.
    directory: Arc<KeptDirectory>,
    destination: String,
    failure: CacheFailure,
}

impl Outgoing {
    /// Finds places for them, which `caches` has then as well.
    pub(crate) async fn begin(
        session: Option<&Arc<Session>>,
        directories: &Arc<KeptDirectories>,
        caches: &mut CacheExports,
    ) -> Result<Self, Status> {
        let mut outgoing = Vec::new();
        for wanted in std::mem::take(&mut caches.of_client) {
            let without =
                || Status::failed_precondition("a cache in a directory of the client needs a session");
            let session = session.ok_or_else(without)?;
            let name = format!("{CACHE_PREFIX}{}", wanted.destination);
            let store = ClientStore::new(session, &name)?;
            let directory = kept(session, directories, &format!("export\0{name}")).await?;
            let place =
                CachePlace::Directory { path: directory.path().to_owned(), tag: layout::TAG.to_owned() };
            caches.exports.push(CacheExport { place, ..wanted.export.clone() });
            let (destination, failure) = (wanted.destination, wanted.export.failure);
            outgoing.push(OutgoingCache { store, directory, destination, failure });
        }
        Ok(Self(outgoing))
    }

    /// Sends them. What the client has to know to give the last of them its name, as JSON.
    pub(crate) async fn send(&self, feed: &Arc<Feed>) -> Result<Option<String>, Status> {
        let mut manifest = None;
        for cache in &self.0 {
            let step = feed.begin(&format!("exporting cache to client directory {}", cache.destination));
            let sent = layout::send(&cache.store, cache.directory.path()).await;
            step.end(sent.as_ref().err().map(|status| status.message().to_owned()));
            match sent {
                Ok(top) => {
                    let digest = top.digest.to_string();
                    let descriptor =
                        json!({ "mediaType": top.media_type, "digest": digest, "size": top.size_bytes });
                    manifest = Some(descriptor.to_string());
                }
                Err(_) if cache.failure == CacheFailure::Ignored => {}
                Err(status) => return Err(status),
            }
        }
        Ok(manifest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_of_a_layout_is_named_by_its_digest() {
        let hex = "0".repeat(64);
        for (text, store) in [("a", "a"), ("a:1.0", "a"), ("host:5000/a/b:1", "host:5000/a/b")] {
            let read = LayoutImage::parse(&format!("{text}@sha256:{hex}")).unwrap();
            assert_eq!(read.store, store, "{text}");
        }
        let refused = LayoutImage::parse("a:1.0").unwrap_err();
        assert_eq!(refused.message(), "oci-layout reference `a:1.0` has no digest");
        assert_eq!(LayoutImage::parse("a@sha256:0").unwrap_err().message(), "`sha256:0` is no digest");
    }
}
