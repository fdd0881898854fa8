//! What can go wrong with finished images.

use crate::containers::SHORT_ID_DIGITS;
use std::io;
use std::path::PathBuf;

use cache::StoreError;
use image::{BlobDigest, DiffId, ImageId, ManifestError, Reference, ReferenceError};
use registry::RegistryError;

use super::archive::ArchiveError;
use super::short_id;

/// Why something could not be done with a finished image.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// Neither a name nor the beginning of an id.
    #[error("no such image: {name}")]
    NoSuchImage {
        /// As asked for, with the tag that was meant.
        name: String,
    },
    /// The beginning of more than one id.
    #[error("image id `{prefix}` is ambiguous, it begins {}", list(candidates))]
    Ambiguous {
        /// As asked for.
        prefix: String,
        /// The images that it could mean.
        candidates: Vec<ImageId>,
    },
    /// Not an image name.
    #[error(transparent)]
    Name(#[from] ReferenceError),
    /// A name with a digest names one image for good and cannot be given to another.
    #[error("cannot create the tag `{}`: a name with a digest already says which image it is", reference.familiar())]
    TagWithDigest {
        /// The name.
        reference: Reference,
    },
    /// `sha256:...` would be taken for an image id.
    #[error("refusing to create an ambiguous tag using digest algorithm as name: `{}`", reference.familiar())]
    TagLikeId {
        /// The name.
        reference: Reference,
    },
    /// The image still has names that were not asked to be removed.
    #[error(
        "conflict: unable to delete {} (must be forced) - image is referenced in multiple repositories",
        short_id(id)
    )]
    StillNamed {
        /// The image.
        id: ImageId,
        /// Its names.
        references: Vec<Reference>,
    },
    /// The last name of an image that a container stands on.
    #[error(
        "conflict: unable to remove repository reference \"{name}\" (must force) - container {} is using its \
         referenced image {}",
        container.get(..SHORT_ID_DIGITS).unwrap_or(container),
        short_id(id)
    )]
    NameInUse {
        /// As given.
        name: String,
        /// The image.
        id: ImageId,
        /// The id of one.
        container: String,
    },
    /// An image that a container stands on.
    #[error(
        "conflict: unable to delete {} ({}) - image is being used by {} container {}",
        short_id(id),
        if *is_running { "cannot be forced" } else { "must be forced" },
        if *is_running { "running" } else { "stopped" },
        container.get(..SHORT_ID_DIGITS).unwrap_or(container)
    )]
    InUse {
        /// The image.
        id: ImageId,
        /// The id of one.
        container: String,
        /// Whether it runs.
        is_running: bool,
    },
    /// A filter that does not exist, or is not `NAME=VALUE`.
    #[error(
        "invalid filter `{text}`, expected one of before, dangling, label, label!, reference, since, until as NAME=VALUE"
    )]
    Filter {
        /// As given.
        text: String,
    },
    /// A filter with a value that it cannot have.
    #[error("invalid filter `{name}={value}`, expected {expected}")]
    FilterValue {
        /// Of the filter.
        name: &'static str,
        /// As given.
        value: String,
        /// What would be right.
        expected: &'static str,
    },
    /// A `--change` that is not one of the instructions that only change the config.
    #[error("`{instruction}` is not a valid change command, expected one of {}", super::change::ALLOWED.join(", "))]
    Change {
        /// The instruction.
        instruction: String,
    },
    /// A `--change` that is no Dockerfile instruction.
    #[error("invalid change: {message}")]
    ChangeText {
        /// What is wrong, with the place.
        message: String,
    },
    /// The image's own documents do not fit together, or are damaged.
    #[error("image {} is damaged: {what}; remove it and build, load or import it again", short_id(id))]
    Damaged {
        /// The image.
        id: ImageId,
        /// What is wrong.
        what: String,
    },
    /// A layer's files are no longer those that the image was made with.
    #[error(
        "layer {diff_id} of image {} no longer has the bytes it was made with, it now is {actual}",
        short_id(id)
    )]
    LayerChanged {
        /// The image.
        id: ImageId,
        /// What the image says.
        diff_id: DiffId,
        /// What its files give.
        actual: DiffId,
    },
    /// An archive that cannot be loaded.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// Nothing was asked for.
    #[error("no image was named, at least one is needed")]
    NothingNamed,
    /// The destination of an export.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// The files of an image.
    #[error("cannot read `{}` of the image", path.display())]
    Read {
        /// The file, from the root of the image.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// Files of several platforms that are to become one tar.
    #[error(
        "a tar with the files of several platforms needs a directory for each, which `platform-split=false` forbids"
    )]
    Merge,
    /// Files of several platforms that are to become one directory.
    #[error("more than one platform has `{}`, which `platform-split=false` would overwrite", path.display())]
    Conflict {
        /// The file, from the root of the image.
        path: PathBuf,
    },
    /// A directory in which not everything else may be deleted.
    #[error("`mode=delete` would delete everything else in `{}`", path.display())]
    DeleteHere {
        /// The directory.
        path: PathBuf,
    },
    /// An archive to copy from.
    #[error("cannot read `{}`", path.display())]
    OpenArchive {
        /// The file.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A program that keeps images, or reaches those who do.
    #[error("cannot copy with `{program}`")]
    Program {
        /// Its name.
        program: &'static str,
        /// The cause, or what it said.
        source: io::Error,
    },
    /// A Docker daemon.
    #[error("cannot copy from or to the Docker daemon")]
    Daemon {
        /// The cause, or what it said.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The stream that an export goes to.
    #[error("cannot write the archive")]
    WriteStream {
        /// The cause.
        source: io::Error,
    },
    /// A tar that cannot be unpacked.
    #[error("cannot import the tar")]
    Import {
        /// The cause.
        source: StoreError,
    },
    /// A blob of the store.
    #[error("cannot read blob {digest} of the store")]
    ReadBlob {
        /// Which.
        digest: BlobDigest,
        /// The cause.
        source: io::Error,
    },
    /// `SOURCE_DATE_EPOCH` is no time that can be written.
    #[error("SOURCE_DATE_EPOCH {seconds} is out of range")]
    Epoch {
        /// Seconds since 1970.
        seconds: i64,
    },
    /// A registry.
    #[error(transparent)]
    Registry(#[from] Box<RegistryError>),
    /// An image of a registry that cannot be used.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// An image that cannot be pushed.
    #[error(transparent)]
    Push(#[from] PushError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<RegistryError> for ImageError {
    fn from(error: RegistryError) -> Self {
        Self::Registry(Box::new(error))
    }
}

impl ImageError {
    /// Whether it is the network's or a registry's fault, and may be gone later.
    pub fn is_network(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_network())
    }
}

/// Why an image of a registry cannot be used here.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// A manifest or an index that cannot be read.
    #[error("the registry's document for `{name}` is unusable")]
    Manifest {
        /// The image.
        name: String,
        /// The cause.
        source: ManifestError,
    },
    /// A config that is none.
    #[error(
        "`{name}` has the config {digest}, which is no JSON of an image config: it is no image that can run"
    )]
    Config {
        /// The image.
        name: String,
        /// Of the config.
        digest: BlobDigest,
    },
    /// The image is only there for other platforms.
    #[error("no match for platform {wanted} in `{name}`, which is for {}", if found.is_empty() { "none".to_owned() } else { found.join(", ") })]
    NoPlatform {
        /// The image.
        name: String,
        /// What was looked for.
        wanted: String,
        /// What is there.
        found: Vec<String>,
    },
    /// An image for another operating system.
    #[error("`{name}` is an image for {os}, which does not run on linux")]
    OperatingSystem {
        /// The image.
        name: String,
        /// As its config says.
        os: String,
    },
    /// Manifest and config do not fit together.
    #[error("`{name}` has {layers} layers, its config names {diff_ids}")]
    LayerCount {
        /// The image.
        name: String,
        /// In the manifest.
        layers: usize,
        /// In the config.
        diff_ids: usize,
    },
    /// Indexes within indexes.
    #[error("`{name}` is behind more than {depth_max} indexes")]
    TooDeep {
        /// The image.
        name: String,
        /// The limit.
        depth_max: usize,
    },
    /// More images in one index than anybody has platforms.
    #[error("the index of `{name}` names more than {max} images")]
    TooMany {
        /// The image.
        name: String,
        /// The limit.
        max: u64,
    },
    /// A config or another small blob that is not small.
    #[error("blob {digest} has {size_bytes} bytes, at most {size_bytes_max} are allowed")]
    TooLarge {
        /// Which.
        digest: BlobDigest,
        /// As its descriptor says.
        size_bytes: u64,
        /// The limit.
        size_bytes_max: u64,
    },
    /// A layer that is not the one that was promised.
    #[error("the registry's layer {digest} is not what it should be")]
    Blob {
        /// Which.
        digest: BlobDigest,
        /// The cause.
        source: Box<StoreError>,
    },
    /// A layer that cannot be unpacked.
    #[error("layer {digest} cannot be unpacked")]
    Layer {
        /// The blob.
        digest: BlobDigest,
        /// What the config says that is in it.
        diff_id: DiffId,
        /// The cause.
        source: Box<StoreError>,
    },
}

/// Whether an error of the store has nothing to do with the bytes that came in.
pub(super) fn is_of_machine(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Read { .. }
            | StoreError::Write { .. }
            | StoreError::Sync { .. }
            | StoreError::Lock { .. }
    )
}

fn list(candidates: &[ImageId]) -> String {
    let ids: Vec<String> = candidates.iter().map(short_id).collect();
    ids.join(", ")
}

/// Why an image cannot be pushed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// No image of the store has the name.
    #[error("an image does not exist locally with the tag: {name}")]
    NoSuchImage {
        /// The name.
        name: String,
    },
    /// No list of that name was made here.
    #[error("no such manifest list: {name}; make it with `manifest create`")]
    NoSuchList {
        /// The name.
        name: String,
    },
    /// A list can only name what is in its own repository.
    #[error("`{member}` is not in the repository `{list}` of the list: push the image there as well")]
    OtherRepository {
        /// The image.
        member: String,
        /// The repository of the list.
        list: String,
    },
    /// A manifest gets its digest from its bytes, not from a name.
    #[error("cannot push `{name}`: a digest reference, which nobody can choose")]
    WithDigest {
        /// The name.
        name: String,
    },
}
