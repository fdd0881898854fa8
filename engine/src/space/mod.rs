//! What the store takes, and how to get some of it back.

mod cache_filter;
mod ceiling;
mod collector;
mod full_disk;
mod image_prune;
mod usage;

use ::image::ImageId;
use cache::{Store, StoreError};

pub use ::cache::{PruneOptions, Pruned, UsageItem, UsageKind};
pub use cache_filter::{FilterError, add_filter};
pub use ceiling::{Ceiling, Share, ShareError, parse_bytes};
pub(crate) use collector::Collector;
pub use collector::StartCollection;
pub(crate) use full_disk::{Attempts, has_no_room, with_room};
pub use image_prune::PrunedImages;
pub use usage::{DiskUsage, ImageUsage};

use crate::Engine;
use crate::events::EventKind;
use crate::images::{Filters, ImageError, Removed};

/// Space. Each call blocks.
impl Engine {
    /// What images and the build cache take.
    pub fn disk_usage(&self) -> Result<DiskUsage, ImageError> {
        usage::disk_usage(&self.reopened()?)
    }

    /// Removes what builds have left behind and nobody uses, see [`Store::prune`].
    pub fn prune_cache(&self, options: &PruneOptions) -> Result<Pruned, StoreError> {
        let pruned = self.reopened()?.prune(options)?;
        self.note_prune(EventKind::Builder, pruned.bytes);
        Ok(pruned)
    }

    /// Removes what of the build cache is beyond the ceiling, the least recently used first. None when somebody else
    /// does so at the moment.
    pub fn collect(&self, ceiling: &Ceiling) -> Result<Option<Pruned>, StoreError> {
        let store = self.reopened()?;
        let rules = ceiling.rules(store.space()?);
        if rules.is_empty() {
            return Ok(Some(Pruned::default()));
        }
        store.try_prune(&rules)
    }

    /// What is removed when the build cache passes its ceiling, in this order; nothing without a ceiling.
    ///
    /// # Errors
    ///
    /// When the size of the disk is not known.
    pub fn collection_rules(&self) -> Result<Vec<PruneOptions>, StoreError> {
        self.watch.as_ref().map_or_else(|| Ok(Vec::new()), |watch| watch.collector.rules(&self.store))
    }

    /// Removes images that have no name and that no container uses; with `all` those with a name as well. Then
    /// removes the layers that nobody has any more.
    ///
    /// # Errors
    ///
    /// [`ImageError::Filter`] for filters that do not go with pruning.
    pub fn prune_images(&self, all: bool, filters: &Filters) -> Result<PrunedImages, ImageError> {
        let note = |id: &ImageId, removed: &[Removed]| self.note_removed(&id.to_string(), removed);
        let users = |id: &ImageId| self.users_of_image(id);
        let pruned = image_prune::prune(&self.reopened()?, all, filters, users, note)?;
        self.note_prune(EventKind::Image, pruned.bytes);
        Ok(pruned)
    }

    /// Another opening of the same store: what this one has found would stay.
    pub(crate) fn reopened(&self) -> Result<Store, StoreError> {
        Store::open(self.root())
    }
}
