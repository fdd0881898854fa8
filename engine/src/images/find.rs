//! Which image a name or an id means.

use cache::Store;
use image::{Digest, ImageId, Reference};

use super::ImageError;

const ID_HEX_CHARS: usize = 64;

/// The image that a name, an id or the beginning of an id means, with or without `sha256:`.
///
/// As in Docker, a name wins over the beginning of an id, and a whole id over a name.
///
/// # Errors
///
/// [`ImageError::NoSuchImage`], [`ImageError::Ambiguous`] for the beginning of several ids, and
/// [`ImageError::Name`] for what is neither an id nor a name.
pub fn find(store: &Store, name: &str) -> Result<ImageId, ImageError> {
    let no_such_image = || ImageError::NoSuchImage { name: name.to_owned() };
    let hex = name.strip_prefix("sha256:").unwrap_or(name);
    if let Ok(digest) = Digest::from_hex(hex) {
        return Ok(store.image(&ImageId(digest))?.ok_or_else(no_such_image)?.id);
    }
    let reference = name.parse::<Reference>();
    if let Ok(reference) = &reference
        && let Some(id) = resolve(store, reference)?
    {
        return Ok(id);
    }
    if is_id_prefix(hex) {
        match store.find_images(hex)?[..] {
            [] => {}
            [id] => return Ok(id),
            ref candidates => {
                return Err(ImageError::Ambiguous {
                    prefix: name.to_owned(),
                    candidates: candidates.to_vec(),
                });
            }
        }
    }
    match reference {
        Ok(reference) => Err(ImageError::NoSuchImage { name: reference.familiar() }),
        Err(error) => Err(error.into()),
    }
}

/// The image of a name. A name with tag and digest is known by its digest, as in Docker.
pub(crate) fn resolve(store: &Store, reference: &Reference) -> Result<Option<ImageId>, ImageError> {
    if let Some(id) = store.resolve(reference)? {
        return Ok(Some(id));
    }
    let (Some(_), Some(digest)) = (reference.tag(), reference.digest()) else { return Ok(None) };
    let canonical = format!("{}/{}@{digest}", reference.domain(), reference.path());
    Ok(store.resolve(&canonical.parse()?)?)
}

fn is_id_prefix(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    !text.is_empty() && text.len() < ID_HEX_CHARS && text.bytes().all(is_digit)
}

/// Whether `name` was an id of this image, rather than one of its names.
pub(super) fn names_by_id(name: &str, id: &ImageId) -> bool {
    id.to_string().starts_with(name) || id.0.hex().starts_with(name)
}

/// The names of an image, in order.
pub(super) fn references_of(store: &Store, id: &ImageId) -> Result<Vec<Reference>, ImageError> {
    Ok(store.names_of(id)?)
}
