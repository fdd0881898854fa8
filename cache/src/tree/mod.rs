//! What COPY, ADD, WORKDIR and heredocs do: files of one tree go into a new layer on top of another.
//!
//! [`select`] finds what the sources of an instruction name and can digest it for a key; [`build`] puts it
//! into a layer directory. Trees are given as the descriptors of their roots, and nothing in them can lead
//! out. The rules are BuildKit's (Dockerfile reference, "COPY"):
//!
//! - A directory gives what is in it; a file goes into the destination when that is a directory or written
//!   with a slash at its end, and becomes the destination otherwise.
//! - A source that is a symlink is followed inside its tree; symlinks below it are copied as such. Symlinks
//!   in the destination are followed inside the base: what goes to `/bin` may land in `/usr/bin`.
//! - Missing directories on the way to the destination are made: mode 0755, root's or the `--chown` owner's.
//!   A directory that exists keeps what it has when it is the destination itself or on the way there, and
//!   gets owner, mode and time of the source below the destination.
//! - A file does not replace a directory, nor a directory anything else.
//! - Modification times, hard links within one copy, set-user-id and, from another stage, extended
//!   attributes are kept. A build context's extended attributes are not: the index of the context, which
//!   keys are computed from, does not know them. Sockets are left out.

mod build;
mod change;
mod context_mode;
mod copy;
mod digest;
mod directory;
mod error;
mod glob;
mod listing;
mod mode;
mod pack;
mod remove;
mod select;
mod source;
mod unpack;

pub use build::{Action, Copied, Target, build};
pub use context_mode::ContextMode;
pub use digest::digest;
pub(crate) use directory::copy_directory;
pub use error::TreeError;
pub use glob::name_matches;
pub use listing::Listed;
pub use mode::{ModeChange, ModeError};
pub use pack::{Packing, UnpackError, plan, unpack_packed};
pub use select::{Exclude, Landing, Selection, need, select};
pub use source::Source;
