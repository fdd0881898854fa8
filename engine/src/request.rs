//! What a build is asked to do and what it answers.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cache::tree::ContextMode;
use executor::Resources;
pub use frontend::NoCache;
use graph::{BuildGraph, Network, Surroundings, VertexId};
use image::{Descriptor, ImageConfig, ImageId, Platform, Reference};

use crate::Provenance;
use crate::agent::Agents;
use crate::entitlement::Entitlements;
use crate::images::{ImageForm, ImageSet, LayoutName, PushAs};
use crate::remote_cache::RemoteCaches;
use crate::report::Reporting;
use crate::secrets::Secrets;
use crate::{ClientFiles, Context, RemoteFiles};

/// A build from a Dockerfile.
#[derive(Debug, Clone)]
pub struct BuildRequest {
    /// The files that COPY and ADD read.
    pub context: Context,
    /// `--context-mode`: which permissions files of all contexts have.
    pub context_mode: ContextMode,
    /// Where the Dockerfile comes from.
    pub dockerfile: DockerfileSource,
    /// `--build-context`, by name.
    pub named_contexts: BTreeMap<String, NamedContext>,
    /// `--target`.
    pub target: Option<String>,
    /// `--build-arg`, by name.
    pub build_args: BTreeMap<String, String>,
    /// `--allow`.
    pub entitlements: Entitlements,
    /// `--secret`, by id: for the steps that mount them, and in nothing that is kept.
    pub secrets: Secrets,
    /// `--ssh`, by id.
    pub agents: Agents,
    /// `--label`, in order.
    pub labels: Vec<(String, String)>,
    /// `--tag`.
    pub tags: Vec<Reference>,
    /// `--no-cache` and `--no-cache-filter`.
    pub no_cache: NoCache,
    /// `--cache-ttl`: results that were older than this when the build began are made again.
    pub cache_ttl: Option<Duration>,
    /// `--platform`, each once; none is the host's.
    pub platforms: Vec<Platform>,
    /// `--pull`.
    pub pull: PullPolicy,
    /// Proxy variables of the caller's environment, given to RUN and stored nowhere.
    pub proxy_env: Vec<(String, String)>,
    /// `--network`: what RUN steps get that do not say it themselves.
    pub network: Network,
    /// `--memory` and its like: limits of each RUN step, in no key.
    pub resources: Resources,
    /// `--add-host`, `--shm-size`, `--ulimit`: what else RUN steps can notice.
    pub surroundings: Surroundings,
    /// Whether somebody wants to know why the first step runs that does.
    pub explaining: Explaining,
    /// `--report`, `--trace`: whether a report is made.
    pub reporting: Reporting,
    /// `--squash`: which layers become one in the image.
    pub squash: Option<Squash>,
    /// `--max-layers`: how many layers the image has at most.
    pub max_layers: Option<usize>,
    /// `--provenance`: whether the image leaves with how it was made.
    pub provenance: Option<Provenance>,
    /// `--sbom`: whether the image leaves with a list of its packages.
    pub sbom: bool,
    /// `--cache-from`, `--cache-to`: caches outside the store.
    pub caches: RemoteCaches,
    /// `--output`, in order; none keeps the image in the store.
    pub outputs: Vec<Output>,
}

/// Which layers become one in an image; the cache keeps those of the steps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Squash {
    /// All of them, those of the base image as well.
    All,
    /// Those that the build added.
    New,
    /// Those from a step of the target's stage on, by the number that the progress shows.
    From(usize),
}

/// What is told about the steps that run, while they do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Explaining {
    /// Why the first of them runs, with [`crate::Event::Explained`].
    #[default]
    First,
    /// Nothing.
    Nothing,
}

/// When an image is looked for in its registry.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PullPolicy {
    /// Whether or not it is here: its tag may mean another one by now.
    Always,
    /// When it is not here.
    #[default]
    Missing,
    /// Not at all.
    Never,
}

/// What a name of `--build-context` stands for in `FROM` and `--from`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// A directory, with an ignore file of its own.
    Directory(PathBuf),
    /// Files of a client.
    Client(ClientFiles),
    /// An image of the store (`docker-image://NAME`).
    Image(Reference),
    /// The image without layers (`docker-image://scratch`).
    Scratch,
    /// Images of the store that other builds made, whatever their names: that for the platform is taken.
    Built(Vec<(Platform, ImageId)>),
    /// A file or a repository from elsewhere.
    Remote(RemoteFiles),
    /// An image of an OCI layout (`oci-layout://DIRECTORY[:TAG|@DIGEST]`).
    Layout {
        /// The directory.
        path: PathBuf,
        /// Which image; none for `latest`, or the only one.
        name: Option<LayoutName>,
    },
    /// A stage of the Dockerfile (`target:NAME`).
    Stage(String),
}

impl NamedContext {
    /// The image of a `docker-image://NAME`, of which this is the name.
    ///
    /// # Errors
    ///
    /// When it is no name of an image.
    pub fn image(name: &str) -> Result<Self, image::ReferenceError> {
        if name == "scratch" { Ok(Self::Scratch) } else { name.parse().map(Self::Image) }
    }
}

/// Where a Dockerfile comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DockerfileSource {
    /// `DIR/Dockerfile` (or `DIR/dockerfile`) of the context.
    Context,
    /// `--file PATH`; in a context that is no directory of the user's, a path in it.
    Path(PathBuf),
    /// The text itself (`--file -`).
    Text(String),
    /// A file of a web server (`--file URL`): `http://` or `https://`.
    Url(String),
    /// None at all: somebody else has put the steps together.
    Graph(Arc<GivenGraph>),
}

/// A build that does not come from a Dockerfile.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenGraph {
    /// Its steps. The contexts in it are named contexts of the request, by their names in lower case.
    pub graph: BuildGraph,
    /// The vertex whose files are those of the image.
    pub target: VertexId,
    /// The config of the image, without layers.
    pub config: ImageConfig,
    /// Images in it that no registry has, by how they are called in it.
    pub images: BTreeMap<Reference, NamedContext>,
    /// Images that are looked for in their registries even when they are here.
    pub pulled: BTreeSet<Reference>,
    /// The text that the places of its vertices are in, and its name, if it has one.
    pub source: Option<(String, String)>,
}

/// Two values that are never compared in a way that matters; a config has no total equality.
impl Eq for GivenGraph {}

/// `--output type=...`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The store, where every image goes anyway, with more names, or a registry.
    Image(ImageOutput),
    /// An OCI layout.
    Oci(Archive),
    /// An archive that `docker load` reads.
    Docker(Archive),
    /// The files of the image, as a tar.
    Tar(TarOutput),
    /// The files of the image, into a directory.
    Local(LocalOutput),
}

impl Output {
    /// The form that the image is to have; none for its bare files.
    pub fn form(&self) -> Option<&ImageForm> {
        match self {
            Self::Image(image) => Some(&image.form),
            Self::Oci(archive) | Self::Docker(archive) => Some(&archive.form),
            Self::Tar(_) | Self::Local(_) => None,
        }
    }

    /// Whether the image leaves with documents around it.
    pub fn is_described(&self) -> bool {
        match self {
            Self::Image(image) => image.push.is_some(),
            Self::Oci(_) | Self::Docker(_) => true,
            Self::Tar(_) | Self::Local(_) => false,
        }
    }

    /// The same, to be changed. An image that only stays in the store has none: it leaves in no form.
    pub fn form_mut(&mut self) -> Option<&mut ImageForm> {
        match self {
            Self::Image(image) => image.push.is_some().then_some(&mut image.form),
            Self::Oci(archive) | Self::Docker(archive) => Some(&mut archive.form),
            Self::Tar(_) | Self::Local(_) => None,
        }
    }
}

/// The files of images as a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TarOutput {
    /// Where it goes.
    pub to: Destination,
    /// Whether each platform has a directory of its own in it.
    pub split: PlatformSplit,
}

impl From<Destination> for TarOutput {
    fn from(to: Destination) -> Self {
        Self { to, split: PlatformSplit::default() }
    }
}

/// The files of images in a directory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalOutput {
    /// Where they go.
    pub directory: PathBuf,
    /// Whether each platform has a directory of its own in it.
    pub split: PlatformSplit,
    /// What becomes of files that are there already.
    pub mode: LocalMode,
}

impl From<PathBuf> for LocalOutput {
    fn from(directory: PathBuf) -> Self {
        Self { directory, split: PlatformSplit::default(), mode: LocalMode::default() }
    }
}

/// When the files for each platform go to a directory of their own (`platform-split`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum PlatformSplit {
    /// When the build is for several.
    #[default]
    WhenSeveral,
    /// In any case.
    Always,
    /// Never: they become one tree, in which no two platforms may have the same file.
    Never,
}

/// What becomes of other files in a directory to which files are exported (`mode`).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum LocalMode {
    /// They stay.
    #[default]
    Copy,
    /// They are deleted.
    Delete,
}

/// An image that stays in the store or goes to a registry.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageOutput {
    /// Its names; none are those of `--tag`.
    pub names: Vec<Reference>,
    /// `push`, and how; none is not at all.
    pub push: Option<PushAs>,
    /// Its form in the registry.
    pub form: ImageForm,
}

/// An archive of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Archive {
    /// Where it goes.
    pub to: ArchivePlace,
    /// The names in it; none are those of `--tag`.
    pub names: Vec<Reference>,
    /// The form of the image.
    pub form: ImageForm,
}

/// Where an archive goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ArchivePlace {
    /// As one tar.
    Tar(Destination),
    /// Its members as files of a directory (`tar=false`).
    Directory(PathBuf),
}

impl From<Destination> for Archive {
    fn from(to: Destination) -> Self {
        Self { to: ArchivePlace::Tar(to), names: Vec::new(), form: ImageForm::default() }
    }
}

/// Where an exported tar goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A file, which appears whole or not at all.
    File(PathBuf),
    /// Standard output.
    Stdout,
}

/// What a build made.
#[derive(Debug, Clone, PartialEq)]
pub struct BuildOutcome {
    /// The image; of several that for this machine, else the first.
    pub image: ImageId,
    /// The images, one for each platform.
    pub images: Vec<(Platform, ImageId)>,
    /// Whether none of them was in the store before.
    pub are_new: bool,
    /// The same as they leave: with what is attested of them.
    pub set: ImageSet,
    /// Their new names.
    pub tags: Vec<Reference>,
    /// Their manifest in the registry, when it was pushed, or the index over them.
    pub manifest: Option<Descriptor>,
    /// Steps whose result was there already.
    pub steps_cached: usize,
    /// Steps that ran.
    pub steps_run: usize,
}
