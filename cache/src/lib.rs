//! Blobs, snapshots, tar layers and key records on disk, shared by any number of processes.

pub mod layer;
pub mod tree;

mod active_blob;
mod blob;
mod byte_lock;
mod cache_mount;
mod check;
mod codec;
mod context;
mod copies;
mod disk;
mod error;
mod gc;
mod id;
mod image_record;
mod lock;
mod marker;
mod processors;
mod record;
mod remove;
mod scaffold;
mod session;
mod snapshot;
mod staged;
mod stamp;
mod store;
mod tag;
mod usage;
mod usage_detail;
mod view;
mod volume;

#[cfg(test)]
mod durability_tests;

pub use active_blob::ActiveBlob;
pub use cache_mount::{Beginning, CacheMount, CacheMountError, Seed, Sharing};
pub use check::{Checked, Fault, Problem, Repair};
pub use context::{
    ContextEntries, ContextEntry, ContextError, ContextIndex, ContextTree, Decision, FileStat, FileTime,
    Filter,
};
pub use copies::{LayerCopy, WorkingCopy};
pub use error::StoreError;
pub use gc::{Filling, PruneOptions, Pruned, Space};
pub use id::{Key, LayerId, LayerIdError};
pub use image_record::StoredImage;
pub use lock::KeyLock;
pub use record::Record;
pub use scaffold::Scaffold;
pub use session::Swept;
pub use snapshot::{ActiveLayer, Layer, PackError};
pub use staged::StagedDirectory;
pub use store::Store;
pub use usage::{Amount, Usage};
pub use usage_detail::{UsageDetail, UsageItem, UsageKind};
pub use view::TreeView;
pub use volume::{VolumeRemoval, VolumeUse};
