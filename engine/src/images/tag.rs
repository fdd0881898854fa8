//! Gives an image one more name.

use cache::Store;
use image::{ImageId, Reference};

use super::{ImageError, find};

/// Names that are read as the beginning of an id.
const ID_ALGORITHM: &str = "sha256";

/// Gives the image `source` the name `target`, taking it from the image that had it. The name is durable when
/// this returns.
///
/// # Errors
///
/// Those of [`find`], and [`ImageError::TagWithDigest`] or [`ImageError::TagLikeId`] for names that cannot be
/// given.
pub fn tag(store: &Store, source: &str, target: &Reference) -> Result<ImageId, ImageError> {
    check_target(target)?;
    let id = find(store, source)?;
    store.tag(target, &id)?;
    store.make_durable()?;
    Ok(id)
}

/// Whether a name can be given to an image.
pub(crate) fn check_target(target: &Reference) -> Result<(), ImageError> {
    if target.digest().is_some() {
        return Err(ImageError::TagWithDigest { reference: target.clone() });
    }
    if target.familiar_name() == ID_ALGORITHM {
        return Err(ImageError::TagLikeId { reference: target.clone() });
    }
    Ok(())
}
