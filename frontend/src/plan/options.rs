//! What the user of a build says beside the Dockerfile.

use std::collections::BTreeMap;

use graph::{Network, Surroundings};
use image::{Platform, Reference};

use super::Epoch;
use crate::remote::Remote;

/// What the user wants of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlanOptions {
    /// `--target`: the stage to build, the last one by default.
    pub target: Option<String>,
    /// `--build-arg`, proxy settings included.
    pub build_args: BTreeMap<String, String>,
    /// `--label`, later ones win.
    pub labels: Vec<(String, String)>,
    /// The platform of the result.
    pub target_platform: Platform,
    /// `--platform`, when the user said it: then the image is for this platform, whatever its base is for.
    pub asked_platform: Option<Platform>,
    /// Whether the names of steps say for which platform they are: this is one of several builds at the same time.
    pub shows_platforms: bool,
    /// The platform of the machine that builds.
    pub build_platform: Platform,
    /// `--no-cache` and `--no-cache-filter`.
    pub no_cache: NoCache,
    /// `--build-context`, by name.
    pub named_contexts: BTreeMap<String, NamedContext>,
    /// `--network`: what steps see that do not say it themselves.
    pub network: Network,
    /// What else steps can notice.
    pub surroundings: Surroundings,
    /// The time of the result.
    pub source_date_epoch: Epoch,
}

impl PlanOptions {
    /// The options of a plain build.
    pub fn new(platform: Platform) -> Self {
        Self {
            target: None,
            build_args: BTreeMap::new(),
            labels: Vec::new(),
            target_platform: platform.clone(),
            asked_platform: None,
            shows_platforms: false,
            build_platform: platform,
            no_cache: NoCache::default(),
            named_contexts: BTreeMap::new(),
            network: Network::Default,
            surroundings: Surroundings::default(),
            source_date_epoch: Epoch::default(),
        }
    }
}

/// Which steps run whatever the cache has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum NoCache {
    /// None.
    #[default]
    Nothing,
    /// Those of the stages with these names, in any case.
    Stages(Vec<String>),
    /// All.
    Everything,
}

/// What a named context is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NamedContext {
    /// Files; the graph reads them as the context of that name.
    Files,
    /// An image.
    Image(Reference),
    /// The image without layers.
    Scratch,
    /// A file or a repository from elsewhere.
    Remote(Remote),
    /// A stage of the Dockerfile, by its name.
    Stage(String),
}
