//! Turns layer tars into layer directories, and back.
//!
//! A layer directory is a lower or upper directory of overlayfs for mounts with the option `userxattr`, as
//! root and without: a whiteout is the character device 0:0, an opaque directory has the extended attribute
//! `user.overlay.opaque` with the value `y` (overlayfs.rst of the kernel).
//!
//! Nothing here takes a host path: everything is relative to the descriptor of the layer directory.

pub(crate) mod apply;
pub(crate) mod assembly;
pub(crate) mod attributes;
pub(crate) mod content_hash;
mod contents;
mod decompress;
pub(crate) mod descriptors;
mod error;
mod header;
mod limits;
pub(crate) mod make;
mod number;
pub(crate) mod packed;
mod pax;
pub(crate) mod pool;
pub(crate) mod read;
mod several;
mod size;
pub(crate) mod source;
mod sparse;
mod squash;
pub(crate) mod walk;
pub(crate) mod work;
mod write;
pub(crate) mod xattr;

pub use apply::{Applied, apply, unpack_archive};
pub use assembly::PlaceError;
pub use contents::{EntryKind, LayerEntry, contents};
pub use decompress::{BombError, Compression, decompress};
pub use error::ApplyError;
pub use limits::Limits;
pub use make::{MakeError, Note};
pub use read::TarError;
pub use several::{Tree, write_trees};
pub use source::CopyError;
pub(crate) use squash::write_squashed;
pub use write::{Files, Summary, WriteError, content_digest, size_bytes, summarize, write_tar};
pub(crate) use write::{summarize_small, summary_of};

/// Begins the name of an entry that hides the rest of the name in the layers below.
pub(crate) const WHITEOUT_PREFIX: &[u8] = b".wh.";
/// The entry that hides everything of its directory in the layers below.
pub(crate) const OPAQUE_MARKER: &[u8] = b".wh..wh..opq";
/// What overlayfs reads as [`OPAQUE_MARKER`].
pub(crate) const OPAQUE_XATTR: [&[u8]; 2] = [b"user.overlay.opaque", b"y"];
