//! Removes names and images.

use cache::Store;
use image::{ImageId, Reference};

use super::find::{names_by_id, references_of};
use super::{ImageError, find};

/// How far removing goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RemoveOptions {
    /// Removes an image given by its id together with all its names, however many there are.
    pub force: bool,
}

/// A container that stands on an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ImageUser {
    /// Its id.
    pub(crate) container: String,
    /// Whether it runs.
    pub(crate) is_running: bool,
}

/// What was removed. Prints as Docker does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// A name.
    Untagged(Reference),
    /// An image.
    Deleted(ImageId),
}

impl std::fmt::Display for Removed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Untagged(reference) => write!(f, "Untagged: {}", reference.familiar()),
            Self::Deleted(id) => write!(f, "Deleted: {id}"),
        }
    }
}

/// As [`Engine::remove_image`](crate::Engine::remove_image), in a store of which nobody has containers.
///
/// # Errors
///
/// Those of [`find`], and [`ImageError::StillNamed`] for an id of an image with several names, unless forced.
pub fn remove(store: &Store, name: &str, options: RemoveOptions) -> Result<Vec<Removed>, ImageError> {
    remove_unused(store, name, options, |_| Vec::new())
}

/// Removes one name, and the image with its last name; or an image by its id.
///
/// Its layers stay until the garbage collection: cache records may use them. Images here have no parent
/// images, so there is nothing that Docker's `--no-prune` could keep.
///
/// # Errors
///
/// Those of [`find`]; [`ImageError::StillNamed`] for an id of an image with several names, [`ImageError::InUse`] and
/// [`ImageError::NameInUse`] for one that containers stand on, unless forced. A container that runs keeps its image; by force
/// it loses only its name.
pub(crate) fn remove_unused(
    store: &Store,
    name: &str,
    options: RemoveOptions,
    users: impl Fn(&ImageId) -> Vec<ImageUser>,
) -> Result<Vec<Removed>, ImageError> {
    let id = find(store, name)?;
    let references = references_of(store, &id)?;
    let by_id = names_by_id(name, &id);
    let untag = if by_id {
        if !(options.force || references.is_empty() || is_single(&references)) {
            return Err(ImageError::StillNamed { id, references });
        }
        references.clone()
    } else {
        with_digests_of_last_tag(&references, &name.parse()?)
    };
    let is_last = untag.len() == references.len();
    let users = if is_last { users(&id) } else { Vec::new() };
    let running = users.iter().find(|user| user.is_running);
    let in_the_way = if options.force { running.filter(|_| by_id) } else { running.or(users.first()) };
    if let Some(ImageUser { container, is_running }) = in_the_way.cloned() {
        return Err(match by_id {
            true => ImageError::InUse { id, container, is_running },
            false => ImageError::NameInUse { name: name.to_owned(), id, container },
        });
    }
    let mut removed = Vec::new();
    for reference in &untag {
        if store.untag(reference)?.is_some() {
            removed.push(Removed::Untagged(reference.clone()));
        }
    }
    if is_last && running.is_none() && store.remove_image(&id)? {
        removed.push(Removed::Deleted(id));
    }
    store.make_durable()?;
    Ok(removed)
}

/// The name, and with the last tag of a repository the digests under which the image is known there.
fn with_digests_of_last_tag(references: &[Reference], name: &Reference) -> Vec<Reference> {
    let same_repository = |other: &&Reference| other.domain() == name.domain() && other.path() == name.path();
    let others = || references.iter().filter(same_repository).filter(|other| *other != name);
    let mut untag: Vec<Reference> = references.iter().filter(|other| *other == name).cloned().collect();
    if untag.is_empty() {
        // Found by tag and digest together, known by the digest alone.
        untag.extend(
            references.iter().filter(same_repository).find(|other| other.digest() == name.digest()).cloned(),
        );
    }
    if name.digest().is_none() && others().all(|other| other.tag().is_none()) {
        untag.extend(others().cloned());
    }
    untag
}

/// Whether one tag, or the digests of one repository, are all the names: then an id says clearly enough what
/// is to go.
fn is_single(references: &[Reference]) -> bool {
    let tags = references.iter().filter(|reference| reference.digest().is_none()).count();
    let repository = |reference: &Reference| (reference.domain().to_owned(), reference.path().to_owned());
    let one_repository = references.windows(2).all(|pair| repository(&pair[0]) == repository(&pair[1]));
    tags <= 1 && one_repository
}
