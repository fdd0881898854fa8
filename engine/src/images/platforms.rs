//! Which image a name means on each platform, beside the one that it means in the store.

use cache::{Key, Record, Store, StoreError};
use image::{Hasher, ImageId, Platform, Reference};

use super::layers::now_unix_ns;
use super::{ImageError, ImageSet, Member, stored};

/// Says that the images were made together, and leave together.
const SET: &str = "set";
/// Platforms of one name; nobody builds for more.
const PLATFORMS_MAX: usize = 64;

/// Notes the image of a name on one platform. Others stay as they are.
pub(crate) fn remember(
    store: &Store,
    name: &Reference,
    platform: &Platform,
    id: ImageId,
) -> Result<(), StoreError> {
    let key = key(name);
    let _lock = store.lock_key(&key)?;
    let mut known = read(store, &key)?;
    let entry = (platform.to_string(), id.to_string());
    if known.contains(&entry) {
        return Ok(());
    }
    // Whatever the name meant together, from now on it means something else.
    known.retain(|(other, _)| *other != entry.0 && other != SET);
    known.insert(0, entry);
    known.truncate(PLATFORMS_MAX);
    write(store, name, key, known)
}

/// Notes the images that a name means from now on: what is pushed under it is all of them.
pub(crate) fn remember_set(
    store: &Store,
    name: &Reference,
    images: &[(Platform, ImageId)],
) -> Result<(), StoreError> {
    let key = key(name);
    let _lock = store.lock_key(&key)?;
    let entries = images.iter().map(|(platform, id)| (platform.to_string(), id.to_string()));
    let marked = std::iter::once((SET.to_owned(), String::new())).chain(entries);
    let known: Vec<_> = if images.len() > 1 { marked.collect() } else { Vec::new() };
    if known == read(store, &key)? { Ok(()) } else { write(store, name, key, known) }
}

/// The images that were made together with the one that a name means, that one included, if all are still there.
pub(crate) fn set_of(store: &Store, name: &Reference, id: ImageId) -> Result<ImageSet, ImageError> {
    let known = read(store, &key(name))?;
    let is_set = known.iter().any(|(platform, _)| platform == SET);
    let ids: Vec<_> = known.iter().filter_map(|(_, id)| id.parse().ok().map(ImageId)).collect();
    let is_whole = is_set && ids.contains(&id) && ids.iter().all(|id| stored(store, id).is_ok());
    let member = |id| Member { id, predicates: Vec::new() };
    Ok(if is_whole { ImageSet { members: ids.into_iter().map(member).collect() } } else { id.into() })
}

/// The image of a name on a platform, if it is still in the store.
pub(crate) fn find(
    store: &Store,
    name: &Reference,
    platform: &Platform,
) -> Result<Option<ImageId>, ImageError> {
    let wanted = platform.to_string();
    let known = read(store, &key(name))?;
    let id = known.into_iter().find(|(platform, _)| *platform == wanted).and_then(|(_, id)| id.parse().ok());
    Ok(id.map(ImageId).filter(|id| stored(store, id).is_ok()))
}

fn read(store: &Store, key: &Key) -> Result<Vec<(String, String)>, StoreError> {
    Ok(store.record(key)?.map(|record| record.ingredients).unwrap_or_default())
}

fn write(store: &Store, name: &Reference, key: Key, known: Vec<(String, String)>) -> Result<(), StoreError> {
    store.put_record(&Record {
        key,
        offered: None,
        layers: Vec::new(),
        content: None,
        created_unix_ns: now_unix_ns(),
        description: format!("platforms of {}", name.familiar()),
        ingredients: known,
    })
}

fn key(name: &Reference) -> Key {
    Key(Hasher::new("platform-images/v1").field("name", name.to_string()).finish())
}
