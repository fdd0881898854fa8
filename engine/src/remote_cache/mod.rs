//! Caches that outlive the machine: which layers belong to which keys, and the layers, outside the store.
//!
//! A remote cache is one document, the [catalogue](catalogue::Catalogue), and the blobs of the layers that it names,
//! kept together as an OCI artifact in a repository of a registry or in a directory, or under names in an object store. It
//! is never needed. Whatever
//! cannot be read, does not come in time or is not what it should be is a miss, and one line of the log.

mod actions;
mod away;
mod buildkit;
mod catalogue;
mod depot;
mod early;
mod error;
mod export;
mod foreign;
mod import;
mod inline;
mod keyed;
mod layout;
mod mounts;
mod objects;
mod passing;
mod promised;
mod results;
mod send;
mod trail;
mod transfer;

use std::path::PathBuf;
use std::time::Duration;

use graph::BuildGraph;
use image::Reference;

use crate::images::{LayerForm, MediaTypes};
use crate::ops::BaseImages;

pub use actions::{ActionsPlace, ActionsToken};
pub(crate) use away::{AwayBase, AwayLayer, AwayLayers, Link, Lost, Origin};
pub use catalogue::{Catalogue, CatalogueError};
pub(crate) use depot::Depot;
pub(crate) use early::Early;
pub use error::RemoteCacheError;
pub(crate) use export::Ended;
pub(crate) use foreign::Foreign;
pub(crate) use import::Imports;
pub(crate) use inline::INLINE_KEY;
pub use mounts::Listing;
pub use objects::{ObjectPlace, ObjectService, ObjectSettings};
pub(crate) use trail::{Trail, Trod};

/// How long a catalogue is waited for, when nobody says otherwise. Longer than any registry in use needs, and shorter
/// than what anybody wants to wait for a cache.
pub const CATALOGUE_WAIT: Duration = Duration::from_secs(10);

/// The remote caches of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RemoteCaches {
    /// `--cache-from`, in the order in which they are asked.
    pub imports: Vec<CacheImport>,
    /// `--cache-to`.
    pub exports: Vec<CacheExport>,
    /// `--cache-to type=inline`: whether the image itself says which of its layers belong to which keys.
    pub inline: InlineCache,
    /// Whether the layers of the image have to be here in the end.
    pub layers: KeptLayers,
    /// `--cache-mounts`: whether the directories of `RUN --mount=type=cache` travel.
    pub mounts: TravellingMounts,
    /// `--cache-wait`: whether the build waits for what it writes.
    pub wait: CacheWait,
}

impl RemoteCaches {
    /// What BuildKit calls the results of a build, where that may matter.
    pub(crate) fn foreign(&self, graph: &BuildGraph, bases: &BaseImages) -> Foreign {
        match *self == Self::default() {
            true => Foreign::default(),
            false => Foreign::new(graph, bases),
        }
    }
}

/// Whether an image is a remote cache of its own steps.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum InlineCache {
    /// It is not.
    #[default]
    Absent,
    /// Its config has a catalogue, and whoever has the image can import it.
    Present,
}

/// How long a build waits for the caches that it writes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheWait {
    /// Until all is there.
    #[default]
    All,
    /// Not at all: what has not arrived by its end is not in the cache.
    None,
}

/// Whether cache mounts travel.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum TravellingMounts {
    /// They stay where they are.
    None,
    /// Those that are not here begin as they were elsewhere.
    Import,
    /// And those that steps have used are written to the caches of our own format.
    #[default]
    All,
}

/// Which layers of an image are brought into the store at the end of a build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum KeptLayers {
    /// All: the image is in the store.
    #[default]
    All,
    /// Those that some step or output needed. The image is in the store only if these are all of them.
    Needed,
}

/// A remote cache that is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheImport {
    /// Where it is.
    pub place: CachePlace,
    /// How long its catalogue is waited for; none is [`CATALOGUE_WAIT`].
    pub timeout: Option<Duration>,
}

/// A remote cache that is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheExport {
    /// Where it is.
    pub place: CachePlace,
    /// In which form its catalogue is written.
    pub format: CacheFormat,
    /// What goes into it.
    pub mode: CacheMode,
    /// How its layers are compressed.
    pub layers: LayerForm,
    /// The media types of its documents.
    pub media_types: MediaTypes,
    /// The document that names its blobs.
    pub shape: CacheShape,
    /// Whether the build fails when it cannot be written.
    pub failure: CacheFailure,
    /// How long writing it may take; none is as long as it gets on.
    pub timeout: Option<Duration>,
}

impl CacheExport {
    /// Whether cache mounts go along: wherever nobody but us looks for what we write.
    pub(crate) fn takes_mounts(&self) -> bool {
        self.format == CacheFormat::Slipway
            || matches!(self.place, CachePlace::Objects(_) | CachePlace::Actions(_))
    }
}

/// Where a remote cache is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CachePlace {
    /// A tag of a repository.
    Registry(Reference),
    /// An OCI layout.
    Directory {
        /// The directory.
        path: PathBuf,
        /// Its name there.
        tag: String,
    },
    /// An object store.
    Objects(Box<ObjectPlace>),
    /// The cache service of GitHub Actions.
    Actions(ActionsPlace),
}

impl std::fmt::Display for CachePlace {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Registry(reference) => f.write_str(&reference.familiar()),
            Self::Directory { path, tag } => write!(f, "{}:{tag}", path.display()),
            Self::Objects(place) => place.fmt(f),
            Self::Actions(place) => place.fmt(f),
        }
    }
}

/// In which form a catalogue is written. All forms are read.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheFormat {
    /// Our own.
    #[default]
    Slipway,
    /// A cache configuration of BuildKit, with our catalogue in it. BuildKit reads it, and finds nothing under its own
    /// keys.
    BuildKit,
}

/// What a cache is in the eyes of a registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheShape {
    /// An image manifest, whose config is the catalogue. Every registry takes it.
    #[default]
    Manifest,
    /// An index that names blobs, as BuildKit once wrote it (`image-manifest=false`).
    Index,
}

/// What of a build goes into a remote cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheMode {
    /// The steps that the target continues.
    Min,
    /// All steps.
    #[default]
    Max,
}

/// What a cache that cannot be written means for the build.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheFailure {
    /// Nothing but a line of the log.
    #[default]
    Ignored,
    /// That it fails (`ignore-error=false`).
    Fatal,
}
