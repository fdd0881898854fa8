//! Manifest lists: one name for the images of several platforms.

use cache::{Key, Record};
use image::{BlobDigest, Descriptor, Digest, Hasher, ImageConfig, Index, Manifest, MediaType, Reference};
use registry::{FetchedManifest, Kind, Repository};

use super::config::CONFIG_BYTES_MAX;
use super::error::PullError;
use super::layers::now_unix_ns;
use super::pull::{descriptors, fetch_small};
use super::{ImageError, PushError};
use crate::Engine;

/// Registries refuse larger ones.
const LIST_BYTES_MAX: u64 = 4 << 20;

impl Engine {
    /// The document that a name stands for in its registry, as it is there.
    pub async fn remote_document(&self, name: &Reference) -> Result<Vec<u8>, ImageError> {
        Ok(self.registries.repository(name)?.manifest(name).await?.bytes)
    }

    /// Makes a list of images that are in the registry, and keeps it in the store until it is pushed or pruned. Of a
    /// member that is a list itself it takes the members.
    ///
    /// # Errors
    ///
    /// [`PushError::OtherRepository`] for an image of another repository: a list can only name its own.
    pub async fn create_list(&self, list: &Reference, members: &[Reference]) -> Result<(), ImageError> {
        let repository = self.registries.repository(list)?;
        let mut index = Index::new(Vec::new());
        for member in members {
            if (member.domain(), member.path()) != (list.domain(), list.path()) {
                let (member, list) = (member.familiar(), list.familiar_name());
                return Err(PushError::OtherRepository { member, list }.into());
            }
            let document = repository.manifest(member).await?;
            match document.kind {
                Kind::Index => index.manifests.extend(descriptors(member, &document)?),
                Kind::Manifest => index.manifests.push(described(&repository, member, &document).await?),
            }
        }
        let digest = self.store.put_blob(&index.to_json())?;
        self.store.put_record(&Record {
            key: key(list),
            offered: None,
            layers: Vec::new(),
            content: Some(digest.0),
            created_unix_ns: now_unix_ns(),
            description: format!("manifest list {}", list.familiar()),
            ingredients: vec![("list".to_owned(), list.to_string())],
        })?;
        Ok(self.store.make_durable()?)
    }

    /// Sends a list to its registry, and forgets it.
    ///
    /// # Errors
    ///
    /// [`PushError::NoSuchList`] when there is none of this name.
    pub async fn push_list(&self, list: &Reference) -> Result<Digest, ImageError> {
        let missing = || PushError::NoSuchList { name: list.familiar() };
        let content = self.store.record(&key(list))?.and_then(|record| record.content).ok_or_else(missing)?;
        let digest = BlobDigest(content);
        let bytes = self.store.read_blob(&digest, LIST_BYTES_MAX)?.ok_or_else(missing)?;
        let repository = self.registries.repository(list)?;
        let pushed = repository.put_manifest(list, MediaType::Index.as_str(), &bytes).await?;
        self.store.remove_blob(&digest)?;
        Ok(pushed.0)
    }
}

/// The entry of an image, with the platform that its config names.
async fn described(
    repository: &Repository,
    member: &Reference,
    document: &FetchedManifest,
) -> Result<Descriptor, ImageError> {
    let unusable = |source| PullError::Manifest { name: member.familiar(), source };
    let manifest = Manifest::parse(&document.bytes).map_err(unusable)?;
    let config = fetch_small(repository, &manifest.config, CONFIG_BYTES_MAX).await?;
    let config: ImageConfig = serde_json::from_slice(&config)
        .map_err(|_| PullError::Config { name: member.familiar(), digest: manifest.config.digest })?;
    let mut descriptor = document.descriptor.clone();
    descriptor.platform = Some(config.platform());
    Ok(descriptor)
}

fn key(list: &Reference) -> Key {
    Key(Hasher::new("manifest-list/v1").field("name", list.to_string()).finish())
}
