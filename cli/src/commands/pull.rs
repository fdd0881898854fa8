//! `slipway pull`.

use std::str::FromStr;

use engine::Engine;
use engine::images::{Freshness, ImageError, Naming, OnTransfer, PullRequest, Pulled};
use image::{Platform, Reference, ReferenceError};

use crate::arguments::Global;
use crate::console;
use crate::progress::{Layers, Stream};
use crate::registries::RegistryArgs;
use crate::report::{Exit, Report};
use crate::runtime::{Interrupted, interruptible};
use crate::store;

/// Download an image from a registry
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway pull [OPTIONS] NAME[:TAG|@DIGEST]",
    help_template = super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway image pull, slipway pull"
)]
pub(crate) struct Args {
    /// Name of the image
    #[arg(value_name = "NAME", hide = true)]
    name: Name,
    /// Download the images for all platforms
    #[arg(long, conflicts_with_all = ["platform", "all_tags"])]
    all_platforms: bool,
    /// Download all tagged images in the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Set platform if server is multi-platform capable
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// A name, and whether a tag or a digest was written.
#[derive(Debug, Clone)]
struct Name {
    reference: Reference,
    is_bare: bool,
}

impl FromStr for Name {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let last = text.rsplit('/').next().unwrap_or(text);
        Ok(Self { reference: text.parse()?, is_bare: !last.contains([':', '@']) })
    }
}

/// Pulls an image.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let Args { name: Name { reference, is_bare }, all_platforms, all_tags, platform, quiet, registry } = args;
    if all_tags && !is_bare {
        return Err(Report::mistake("tag can't be used with --all-tags/-a"));
    }
    let engine = store::open(global)?.with_registries(registry.settings()?);
    if !quiet && is_bare && !all_tags {
        console::print("Using default tag: latest\n")?;
    }
    let pulls = async {
        let mut names = vec![reference.clone()];
        if all_tags {
            names = engine.remote_tags(&reference).await?;
        }
        for name in &names {
            let layers = if quiet { Layers::silent() } else { Layers::on(Stream::Stdout) };
            if !quiet {
                console::print(&format!("{}: Pulling from {}\n", version(name), name.path()))?;
            }
            let pulled = pull(&engine, name, platform.clone(), all_platforms, &layers.listener()).await;
            layers.finish();
            let pulled = pulled?;
            if !quiet {
                console::print(&told(&pulled))?;
            }
        }
        Ok::<_, Report>(())
    };
    match interruptible(pulls)? {
        Ok(done) => done?,
        Err(Interrupted) => return Ok(Exit::Interrupted),
    }
    console::print(&format!("{reference}\n"))
}

async fn pull(
    engine: &Engine,
    name: &Reference,
    platform: Option<Platform>,
    all_platforms: bool,
    on_transfer: &OnTransfer,
) -> Result<Vec<Pulled>, ImageError> {
    if all_platforms {
        return engine.pull_all_platforms(name, on_transfer).await;
    }
    let request = PullRequest { reference: name.clone(), platform, naming: Naming::Move };
    Ok(vec![engine.pull(&request, on_transfer).await?])
}

/// The tag or the digest.
pub(crate) fn version(name: &Reference) -> String {
    name.digest().map(ToString::to_string).or(name.tag().map(str::to_owned)).unwrap_or_default()
}

/// What Docker says of an image that was pulled.
pub(crate) fn told(pulled: &[Pulled]) -> String {
    let one = |pulled: &Pulled| {
        let status = match pulled.freshness {
            Freshness::Newer => "Downloaded newer image for",
            Freshness::UpToDate => "Image is up to date for",
        };
        format!("Digest: {}\nStatus: {status} {}\n", pulled.digest, pulled.reference.familiar())
    };
    pulled.iter().map(one).collect()
}
