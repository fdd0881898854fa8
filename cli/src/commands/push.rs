//! `slipway push`.

use engine::images::{ImageError, PushRequest};
use image::Reference;

use crate::arguments::Global;
use crate::console;
use crate::progress::{Layers, Stream};
use crate::registries::RegistryArgs;
use crate::report::{Exit, Report};
use crate::runtime::{Interrupted, interruptible};
use crate::store;

/// Upload an image to a registry
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway push [OPTIONS] NAME[:TAG]",
    help_template = super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway image push, slipway push"
)]
pub(crate) struct Args {
    /// Name of the image, which says where it goes
    #[arg(value_name = "NAME", hide = true)]
    name: String,
    /// Push all tags of an image to the repository
    #[arg(short, long)]
    all_tags: bool,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

/// Pushes an image.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let Args { name, all_tags, quiet, registry } = args;
    let is_bare = !name.rsplit('/').next().unwrap_or(&name).contains([':', '@']);
    let reference: Reference =
        name.parse().map_err(|error: image::ReferenceError| Report::mistake(error.to_string()))?;
    if all_tags && !is_bare {
        return Err(Report::mistake("tag can't be used with --all-tags/-a"));
    }
    let engine = store::open(global)?.with_registries(registry.settings()?);
    if !quiet {
        if is_bare && !all_tags {
            console::print("Using default tag: latest\n")?;
        }
        let repository = format!("{}/{}", reference.domain(), reference.path());
        console::print(&format!("The push refers to repository [{repository}]\n"))?;
    }
    let names = if all_tags { engine.local_tags(&reference)? } else { vec![reference.clone()] };
    if names.is_empty() {
        let name = reference.familiar_name();
        return Err(Report::mistake(format!("an image does not exist locally with the tag: {name}")));
    }
    let pushes = async {
        for name in &names {
            let layers = if quiet { Layers::silent() } else { Layers::on(Stream::Stdout) };
            let pushed = engine.push(&PushRequest::new(name.clone()), &layers.listener()).await;
            layers.finish();
            let pushed = pushed.map_err(|error: ImageError| Report::from(error))?;
            if !quiet {
                let tag = name.tag().unwrap_or_default();
                let manifest = &pushed.manifest;
                let line = format!("{tag}: digest: {} size: {}\n", manifest.digest, manifest.size_bytes);
                console::print(&line)?;
            }
        }
        Ok::<_, Report>(())
    };
    match interruptible(pushes)? {
        Ok(done) => done?,
        Err(Interrupted) => return Ok(Exit::Interrupted),
    }
    if quiet { console::print(&format!("{reference}\n")) } else { Ok(Exit::Success) }
}
