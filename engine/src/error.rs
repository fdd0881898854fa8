//! What can go wrong in a build.

use std::io;
use std::path::PathBuf;

use image::{Platform, Reference};

/// Why a build did not come to an image.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// There is no Dockerfile at the place where it was looked for.
    #[error("no Dockerfile: `{}` is not there", path.display())]
    NoDockerfile {
        /// Where.
        path: PathBuf,
    },
    /// The context is not a directory.
    #[error("build context `{}` is not a directory", path.display())]
    NoContext {
        /// What was given.
        path: PathBuf,
    },
    /// The build context does not arrive.
    #[error("cannot read the build context")]
    ContextStream {
        /// The cause.
        source: io::Error,
    },
    /// The build context is no tar of files.
    #[error("cannot unpack the build context")]
    ContextArchive {
        /// The cause.
        source: cache::layer::ApplyError,
    },
    /// A file of the user's cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// A file of the user's is larger than anything of its kind.
    #[error("`{}` is larger than {size_bytes_max} bytes", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The limit.
        size_bytes_max: u64,
    },
    /// A file of the user's is not UTF-8.
    #[error("`{}` is not UTF-8 text: byte {offset} is not part of a character", path.display())]
    NotUtf8 {
        /// Which.
        path: PathBuf,
        /// The first byte that is wrong.
        offset: usize,
    },
    /// The Dockerfile does not say what to build.
    #[error("the Dockerfile has {} error{}", rendered.len(), if rendered.len() == 1 { "" } else { "s" })]
    Dockerfile {
        /// Each finding with its source line.
        rendered: Vec<String>,
    },
    /// The ignore file does not say what to leave out.
    #[error("`{name}` has {} error{}", rendered.len(), if rendered.len() == 1 { "" } else { "s" })]
    IgnoreFile {
        /// Its name.
        name: String,
        /// Each finding with its source line.
        rendered: Vec<String>,
    },
    /// A base image is not in the store.
    #[error("image `{}` is not in the store", reference.familiar())]
    NoImage {
        /// Which.
        reference: Reference,
        /// The line that asks for it.
        rendered: String,
    },
    /// File times are to follow a time that nobody gave.
    #[error("rewrite-timestamp=true needs SOURCE_DATE_EPOCH, which is not set")]
    NoEpoch,
    /// The layers of an image are to be one from a step on that there is not.
    #[error("the stage has no step {step} with a layer")]
    NoSuchStep {
        /// Its number.
        step: usize,
    },
    /// Annotations of an index for an image that leaves without one.
    #[error("annotations of an index need one: a build for several platforms, or attestations")]
    IndexAnnotations,
    /// Annotations for a platform that is not built.
    #[error("there are annotations for {platform}, for which nothing is built")]
    AnnotationPlatform {
        /// Which.
        platform: Platform,
    },
    /// A base image cannot be pulled.
    #[error("cannot pull `{}`", reference.familiar())]
    Pull {
        /// Which.
        reference: Reference,
        /// The line that asks for it.
        rendered: String,
        /// The cause.
        source: Box<crate::images::ImageError>,
    },
    /// A base image is for another platform.
    #[error("image `{}` is for {found}, the build is for {wanted}", reference.familiar())]
    WrongPlatform {
        /// Which.
        reference: Reference,
        /// Its platform.
        found: String,
        /// The platform of the build.
        wanted: String,
        /// The line that asks for it.
        rendered: String,
    },
    /// A step ran and failed.
    #[error("{0}")]
    Step(Box<StepFailure>),
    /// A file that COPY or ADD names is not there, or cannot be copied.
    #[error("{message}")]
    Copy {
        /// What is wrong.
        message: String,
        /// The line with an explanation.
        rendered: String,
    },
    /// A step needs what the user has not allowed. The wording is BuildKit's.
    #[error("{entitlement} is not allowed")]
    NotAllowed {
        /// What.
        entitlement: crate::Entitlement,
        /// The line that asks for it.
        rendered: String,
    },
    /// A step cannot get a device.
    #[error("{error}")]
    Device {
        /// What is wrong with it.
        error: crate::DeviceError,
        /// The line that asks for it.
        rendered: String,
    },
    /// A step cannot get a secret that it needs.
    #[error("secret `{id}`")]
    Secret {
        /// Which.
        id: String,
        /// The line that asks for it.
        rendered: String,
        /// What is wrong with it.
        source: SecretError,
    },
    /// A step cannot get an agent that it needs.
    #[error("ssh agent `{id}`")]
    Agent {
        /// Which.
        id: String,
        /// The line that asks for it.
        rendered: String,
        /// What is wrong with it.
        source: crate::AgentError,
    },
    /// An image of an OCI layout cannot be used.
    #[error("the build context `{context}` cannot be used")]
    Layout {
        /// The name of the context.
        context: String,
        /// The cause.
        source: crate::images::ImageError,
    },
    /// Another build, on which this one stands, has no image for it.
    #[error("the build context `{context}` has no image for {platform}")]
    NoResult {
        /// The name of the context.
        context: String,
        /// For which.
        platform: String,
    },
    /// Files from elsewhere cannot be had.
    #[error("{source}")]
    Fetch {
        /// The line that asks for them.
        rendered: String,
        /// The cause.
        source: crate::FetchError,
    },
    /// A step's sandbox did not start.
    #[error("cannot run `{step}`")]
    Sandbox {
        /// The step's name.
        step: String,
        /// The line.
        rendered: String,
        /// The cause.
        source: executor::SandboxError,
    },
    /// A tree cannot be read or written.
    #[error("cannot copy files for `{step}`")]
    Tree {
        /// The step's name.
        step: String,
        /// The cause.
        source: cache::tree::TreeError,
    },
    /// The build context cannot be read.
    #[error("cannot read the build context `{}`", path.display())]
    Context {
        /// Its directory.
        path: PathBuf,
        /// The cause.
        source: cache::ContextError,
    },
    /// A layer of a remote cache did not come. The build goes on without it, so that nobody sees this.
    #[error("layer {diff_id} did not come from a remote cache")]
    LostLayer {
        /// Which.
        diff_id: image::DiffId,
    },
    /// A remote cache cannot be written, and the build was to fail then.
    #[error("cannot export the cache to `{place}`")]
    CacheExport {
        /// Where it was to go.
        place: String,
        /// The cause.
        source: crate::remote_cache::RemoteCacheError,
    },
    /// The client of the build does not give what its steps need.
    #[error("the client of the build: {message}")]
    Client {
        /// What it says.
        message: String,
    },
    /// The store cannot do its work.
    #[error(transparent)]
    Store(#[from] cache::StoreError),
    /// The image cannot be exported.
    #[error(transparent)]
    Export(#[from] crate::images::ImageError),
}

/// Why a step cannot get a secret. Never says what is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The user gave none of this name.
    #[error("not found")]
    Missing,
    /// The environment is text.
    #[error("is not UTF-8 text, and cannot be a variable")]
    NotUtf8,
    /// A variable ends at its first zero byte.
    #[error("contains a zero byte, and cannot be a variable")]
    ZeroByte,
    /// The kernel passes on no such text.
    #[error("a variable with its name has at most {bytes_max} bytes")]
    TooLongForVariable {
        /// The limit.
        bytes_max: usize,
    },
}

/// A step that ran and failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("process \"{command}\" did not complete successfully: {how}")]
pub struct StepFailure {
    /// The step's name, `[build 2/5] RUN make`.
    pub step: String,
    /// Program and arguments.
    pub command: String,
    /// `exit code: 2` or `killed by signal 9`.
    pub how: String,
    /// The last lines of its output.
    pub tail: Vec<String>,
    /// The Dockerfile line underlined.
    pub rendered: String,
    /// Where all of its output is.
    pub log: Option<PathBuf>,
    /// Of the store.
    pub disk: DiskState,
}

/// Whether a disk had room when a step failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskState {
    /// Whatever the step failed of, it was not that.
    HasRoom,
    /// There was next to nothing left, which may be why.
    Full,
}
