//! The limits on what an image archive may ask for.

/// An archive of a thousand images with a hundred layers each has fewer members.
pub(super) const MEMBERS_MAX: u64 = 200_000;
/// A member name; what we look for has at most 140 characters.
pub(super) const NAME_BYTES_MAX: u64 = 4096;
/// One PAX extended header; Go's archive/tar accepts the same.
pub(super) const EXTENDED_HEADER_BYTES_MAX: u64 = 1 << 20;
/// A manifest, index or config. Registries refuse manifests over 4 MiB, configs are of the same kind.
pub(super) const DOCUMENT_BYTES_MAX: u64 = 4 << 20;
/// Links from one member to the next; old archives have one.
pub(super) const LINKS_MAX: usize = 8;
/// Indexes within indexes; BuildKit writes one.
pub(crate) const INDEX_DEPTH_MAX: usize = 4;
/// Manifests that one archive names, counted over all its indexes.
pub(crate) const MANIFESTS_MAX: u64 = 10_000;
/// Names that one archive gives to images.
pub(super) const TAGS_MAX: u64 = 10_000;
/// The archive as a whole after decompression; each layer has limits of its own.
pub(super) const ARCHIVE_BYTES_MAX: u64 = 1 << 40;
