//! Everything that is done with finished images: listing, naming, inspecting, moving them in and out.
//!
//! The functions are synchronous and work on a store alone; callers move them off the runtime's threads.

mod annotations;
mod archive;
mod blob_source;
mod bundle;
mod change;
mod compress;
mod config;
mod destination;
mod difference;
mod disjoint;
mod documents;
mod error;
mod explore;
mod export;
mod filter;
mod find;
mod form;
mod gzip;
mod history;
mod import;
mod inspect;
mod layer_blob;
mod layers;
mod list;
mod lists;
mod load;
mod local;
mod pattern;
pub(crate) mod platforms;
mod prune_local;
mod publish;
mod pull;
mod push;
mod remove;
mod save;
mod set;
mod tag;
mod time;
mod transfer;
mod transport;

use std::io::{self, Read, Write};
use std::os::fd::{AsFd as _, BorrowedFd};

use cache::{Store, StoredImage};
use image::{Descriptor, Digest, ImageId, Platform, Reference};

use crate::{BuildOutcome, Engine, Output, PlatformSplit};

pub use annotations::{Annotation, AnnotationLevel, Annotations};
pub use archive::{ArchiveError, LayoutName, Source, name_in_layout, named_in_layout};
pub(crate) use archive::{LayoutLock, layout, read_index};
pub(crate) use blob_source::{remember, repositories};
pub use bundle::ArchiveKind;
pub(crate) use change::run_config_on;
pub(crate) use compress::compressed;
pub use config::read_config;
pub use difference::{Difference, How, Times, difference};
pub(crate) use documents::package_url;
pub use error::{ImageError, PullError, PushError};
pub use explore::{ChangeKind, Exploration, ExploredLayer, FileChange, explore};
pub use export::{export, export_archive, export_tar};
pub use filter::Filters;
pub use find::find;
pub(crate) use find::resolve;
pub use form::{Compression, Existing, FileTimes, ImageForm, LayerForm, MediaTypes};
pub use history::{HistoryEntry, history};
pub use import::{ImportOptions, import};
pub use inspect::{Inspection, inspect};
pub(crate) use layer_blob::{is_needed, load_key};
pub(crate) use layers::{LayerTar, layers_of};
pub use list::{ImageSummary, list};
pub(crate) use load::borrow;
pub use load::{Loaded, load};
pub(crate) use local::{names, open_directory};
pub use pattern::Pattern;
pub(crate) use publish::publish;
pub(crate) use pull::{Described, choose, describe_image, fetch_blob, fetch_small, verify_blob, with_digest};
pub use pull::{Freshness, Naming, PullRequest, Pulled};
pub(crate) use push::{AwayPush, BlobFile, Bytes};
pub use push::{PushAs, PushRequest, PushedImage};
pub(crate) use remove::{ImageUser, remove_unused};
pub use remove::{RemoveOptions, Removed, remove};
pub use save::save;
pub(crate) use set::preferred;
pub use set::{ImageSet, Member, Predicate};
pub(crate) use tag::check_target;
pub use tag::tag;
pub(crate) use time::parse_moment;
pub use transfer::{OnTransfer, Stage, Transfer};
pub use transport::{CopyRequest, Place, PlaceError};

/// What can be done with the images of an engine's store. Each call blocks; see the function of the same name
/// for what it promises.
impl Engine {
    /// See [`list`].
    pub fn list_images(&self, filters: &Filters) -> Result<Vec<ImageSummary>, ImageError> {
        list(&self.store, filters)
    }

    /// See [`find`].
    pub fn find_image(&self, name: &str) -> Result<ImageId, ImageError> {
        find(&self.store, name)
    }

    /// See [`explore`].
    pub fn explore_image(&self, name: &str) -> Result<Exploration, ImageError> {
        explore(&self.store, name)
    }

    /// See [`difference`].
    pub fn image_difference(
        &self,
        first: &ImageId,
        second: &ImageId,
        times: Times,
    ) -> Result<Option<Difference>, ImageError> {
        difference(&self.store, first, second, times)
    }

    /// Removes the images of builds that were only made to be looked at. One that has a name stays.
    pub fn forget_images(&self, outcomes: &[BuildOutcome]) -> Result<(), ImageError> {
        let named = self.store.tags()?;
        for (_, id) in outcomes.iter().flat_map(|outcome| &outcome.images) {
            if named.iter().all(|(_, other)| other != id) {
                self.store.remove_image(id)?;
            }
        }
        Ok(())
    }

    /// See [`find`]; with a platform, the image that a name means there.
    ///
    /// # Errors
    ///
    /// Those of [`find`], and [`ImageError::NoSuchImage`] when the name means nothing on the platform.
    pub fn find_image_for(&self, name: &str, platform: Option<&Platform>) -> Result<ImageId, ImageError> {
        let id = find(&self.store, name)?;
        let Some(wanted) = platform else { return Ok(id) };
        let found = read_config(&self.store, &id)?.platform();
        if (&found.os, &found.architecture) == (&wanted.os, &wanted.architecture) {
            return Ok(id);
        }
        let missing = || ImageError::NoSuchImage { name: format!("{name} for {wanted}") };
        let reference = name.parse::<Reference>().map_err(|_| missing())?;
        platforms::find(&self.store, &reference, wanted)?.ok_or_else(missing)
    }

    /// Names images that belong together, at least one, each for another platform. The answer is the one that a name
    /// alone means. The names are durable when this returns.
    pub fn name_images(
        &self,
        names: &[Reference],
        images: &[(Platform, ImageId)],
    ) -> Result<ImageId, ImageError> {
        let platforms: Vec<_> = images.iter().map(|(platform, _)| platform.clone()).collect();
        let image = images[preferred(&platforms)].1;
        for name in names {
            self.store.tag(name, &image)?;
            platforms::remember_set(&self.store, name, images)?;
        }
        if !names.is_empty() {
            self.store.make_durable()?;
        }
        Ok(image)
    }

    /// See [`tag`].
    pub fn tag_image(&self, source: &str, target: &Reference) -> Result<ImageId, ImageError> {
        let id = tag(&self.store, source, target)?;
        self.note_image("tag", &id.to_string(), &target.familiar());
        Ok(id)
    }

    /// Takes the images of a build out of the store again, for somebody who did not want any there. Those that were there
    /// before or have a name stay; so does the cache.
    ///
    /// # Errors
    ///
    /// When the store cannot be read or written.
    pub fn forget_unnamed(&self, outcome: &crate::BuildOutcome) -> Result<(), ImageError> {
        if !outcome.are_new || !outcome.tags.is_empty() {
            return Ok(());
        }
        Ok(outcome.images.iter().try_for_each(|(_, id)| self.store.forget_unnamed(id).map(drop))?)
    }

    /// Removes one name, and the image with its last name; or an image by its id.
    ///
    /// # Errors
    ///
    /// Those of [`remove`]; [`ImageError::InUse`] and [`ImageError::NameInUse`] for one that containers stand on. Of one that
    /// runs not even force removes the image.
    pub fn remove_image(&self, name: &str, options: RemoveOptions) -> Result<Vec<Removed>, ImageError> {
        let id = find(&self.store, name).map(|id| id.to_string()).unwrap_or_default();
        let removed = remove_unused(&self.store, name, options, |id| self.users_of_image(id))?;
        self.note_removed(&id, &removed);
        Ok(removed)
    }

    /// Writes down what has become of the names of an image.
    pub(crate) fn note_removed(&self, id: &str, removed: &[Removed]) {
        for one in removed {
            match one {
                Removed::Untagged(name) => self.note_image("untag", id, &name.familiar()),
                Removed::Deleted(id) => self.note_image("delete", &id.to_string(), &id.to_string()),
            }
        }
    }

    /// See [`inspect`].
    pub fn inspect_image(&self, name: &str) -> Result<Inspection, ImageError> {
        inspect(&self.store, name)
    }

    /// See [`history`].
    pub fn image_history(&self, name: &str) -> Result<Vec<HistoryEntry>, ImageError> {
        history(&self.store, name)
    }

    /// See [`import`].
    pub fn import_image(
        &self,
        tar: &mut dyn Read,
        options: &ImportOptions,
        on_progress: OnProgress<'_>,
    ) -> Result<ImageId, ImageError> {
        let id = import(&self.store, tar, options, on_progress)?;
        self.note_image("import", &id.to_string(), &id.to_string());
        Ok(id)
    }

    /// See [`save`].
    pub fn save_images<T: AsRef<str>>(
        &self,
        names: &[T],
        to: &mut dyn Write,
        on_progress: OnProgress<'_>,
    ) -> Result<(), ImageError> {
        for id in save(&self.store, names, to, on_progress)? {
            self.note_image("save", &id.to_string(), &id.to_string());
        }
        Ok(())
    }

    /// See [`load`].
    pub fn load_images(
        &self,
        source: Source<'_>,
        on_progress: OnProgress<'_>,
    ) -> Result<Vec<Loaded>, ImageError> {
        let loaded = load(&self.store, source, on_progress)?;
        for one in &loaded {
            self.note_image("load", &one.id().to_string(), &one.id().to_string());
        }
        Ok(loaded)
    }

    /// See [`export_archive`].
    pub fn write_archive(
        &self,
        set: &ImageSet,
        references: &[Reference],
        kind: ArchiveKind,
        form: &ImageForm,
        to: &mut dyn Write,
        on_progress: OnProgress<'_>,
    ) -> Result<Descriptor, ImageError> {
        export_archive(&self.store, set, references, kind, form, to, on_progress)
    }

    /// See [`export_tar`].
    pub fn write_tar(
        &self,
        set: &ImageSet,
        split: PlatformSplit,
        to: &mut dyn Write,
        on_progress: OnProgress<'_>,
    ) -> Result<(), ImageError> {
        export_tar(&self.store, set, split, to, on_progress)
    }

    /// Shows the files of an image, all layers merged, as long as `look` takes.
    pub fn with_files(
        &self,
        id: &ImageId,
        look: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<()>,
    ) -> Result<(), ImageError> {
        let view = self.store.view(&stored(&self.store, id)?.layers)?;
        look(view.root().as_fd()).map_err(|source| ImageError::WriteStream { source })
    }

    /// See [`export`].
    pub fn export_image(
        &self,
        set: &ImageSet,
        references: &[Reference],
        output: &Output,
        on_progress: OnProgress<'_>,
    ) -> Result<(), ImageError> {
        export(&self.store, set, references, output, on_progress)
    }
}

/// Hears how far a job is: the part, bytes done, and bytes in all where they are known.
pub type OnProgress<'a> = &'a (dyn Fn(&str, u64, Option<u64>) + Sync);

/// Characters of a digest that people read.
const SHORT_ID_CHARS: usize = 12;

/// The beginning of an image id as Docker shows it: twelve digits.
pub fn short_id(id: &ImageId) -> String {
    short_digest(&id.0)
}

pub(crate) fn short_digest(digest: &Digest) -> String {
    digest.hex()[..SHORT_ID_CHARS].to_owned()
}

/// The record of an image whose id is known.
pub(crate) fn stored(store: &Store, id: &ImageId) -> Result<StoredImage, ImageError> {
    store.image(id)?.ok_or_else(|| ImageError::NoSuchImage { name: short_id(id) })
}
