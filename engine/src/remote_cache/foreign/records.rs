//! Records of BuildKit's cache.

use image::Digest;

/// What an operation came to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(in crate::remote_cache) struct ForeignRecord {
    pub(in crate::remote_cache) key: Digest,
    /// For each input, the records that it may be.
    pub(in crate::remote_cache) inputs: Vec<Vec<ForeignLink>>,
    /// The topmost layer, by its place in the catalogue; none when the result is not there.
    pub(in crate::remote_cache) layer: Option<u32>,
    /// In nanoseconds since 1970.
    pub(in crate::remote_cache) created: i64,
}

/// One record that an input may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::remote_cache) struct ForeignLink {
    /// The digest of the paths that are read of it.
    pub(in crate::remote_cache) selector: Option<Digest>,
    /// Its place in the list of records.
    pub(in crate::remote_cache) record: u32,
}
