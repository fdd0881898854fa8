//! Cache mounts on their way: cut into chunks by their content, so that only what changed moves.
//!
//! The files of a mount are one tar, taken while nobody else uses the mount: they are those of one moment. The tar is
//! cut where its content says so ([FastCDC](https://ieeexplore.ieee.org/document/9055082)), which finds equal parts
//! again wherever they have moved. Chunks that are new are compressed and put together into packs, blobs like layers; a
//! [`Listing`] says which chunks of which packs, one after another, make the tar.

mod export;
mod import;
mod listing;
mod pack;
mod restore;

pub(super) use export::{Old, export};
pub(super) use import::restore;
pub use listing::Listing;

/// A pack is closed when it has so many bytes. It is in memory until then.
const PACK_BYTES_MAX: usize = 16 << 20;
/// The media type of a pack.
pub(super) const PACK_TYPE: &str = "application/vnd.slipway.cache.mount.pack.v1";
/// The media type of a listing.
pub(super) const LISTING_TYPE: &str = "application/vnd.slipway.cache.mount.listing.v1+json+zstd";
/// A mount whose tar is larger does not travel: it would take longer than what it spares.
pub(super) const MOUNT_BYTES_MAX: u64 = 4 << 30;
/// The listing of the largest mount, some 100 bytes for each chunk.
const LISTING_BYTES_MAX: u64 = 64 << 20;
