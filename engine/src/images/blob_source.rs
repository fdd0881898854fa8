//! Which repositories have a blob, so that a push can have it taken over from there.

use cache::{Key, Record, Store, StoreError};
use image::{BlobDigest, Hasher};
use registry::Repository;

use super::layers::now_unix_ns;

/// Where a record keeps the names.
const REPOSITORY_INGREDIENT: &str = "repository";
/// Repositories that are remembered for one blob, the latest.
const REPOSITORIES_MAX: usize = 8;

/// Notes that a repository has a blob.
pub(crate) fn remember(store: &Store, blob: &BlobDigest, repository: &Repository) -> Result<(), StoreError> {
    let name = format!("{}/{}", repository.domain(), repository.path());
    let mut names = names(store, blob)?;
    if names.first() == Some(&name) {
        return Ok(());
    }
    names.retain(|known| *known != name);
    names.insert(0, name);
    names.truncate(REPOSITORIES_MAX);
    store.put_record(&Record {
        key: key(blob),
        offered: None,
        layers: Vec::new(),
        content: None,
        created_unix_ns: now_unix_ns(),
        description: format!("repositories that have {blob}"),
        ingredients: names.into_iter().map(|name| (REPOSITORY_INGREDIENT.to_owned(), name)).collect(),
    })
}

/// Repositories of a registry that had a blob when we last saw it there, the latest first.
pub(crate) fn repositories(
    store: &Store,
    blob: &BlobDigest,
    domain: &str,
) -> Result<Vec<String>, StoreError> {
    let of_domain = |name: String| Some(name.strip_prefix(domain)?.strip_prefix('/')?.to_owned());
    Ok(names(store, blob)?.into_iter().filter_map(of_domain).collect())
}

fn names(store: &Store, blob: &BlobDigest) -> Result<Vec<String>, StoreError> {
    let record = store.record(&key(blob))?;
    let ingredients = record.map(|record| record.ingredients).unwrap_or_default();
    Ok(ingredients
        .into_iter()
        .filter(|(kind, _)| kind == REPOSITORY_INGREDIENT)
        .map(|(_, name)| name)
        .collect())
}

fn key(blob: &BlobDigest) -> Key {
    Key(Hasher::new("blob-source/v1").field("digest", blob.0.0).finish())
}
