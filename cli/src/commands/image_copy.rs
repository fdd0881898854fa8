//! `slipway image cp`.

use std::str::FromStr;

use engine::images::{CopyRequest, Place, PlaceError};
use image::Platform;

use crate::arguments::Global;
use crate::console;
use crate::progress::{Layers, Stream};
use crate::registries::RegistryArgs;
use crate::report::{Exit, Report};
use crate::runtime::{Interrupted, interruptible};
use crate::store;

/// What the places are.
const PLACES: &str = "
Places:
  NAME                           The store: a name, or an id to copy from
  docker://NAME                  A registry
  oci:PATH[:TAG]                 A directory that is an OCI layout; others in it stay
  oci-archive:PATH[:TAG]         A layout as a tar
  docker-archive:PATH[:NAME]     An archive as \"docker save\" writes it
  docker-daemon:NAME             A Docker daemon on this machine (DOCKER_HOST)
  containers-storage:NAME        The store of Podman and Buildah, through skopeo

Only layers that are not at the new place yet move. To copy files from and to containers is \"slipway cp\".
";

/// Copy an image between the store, registries, layouts, archives and other engines
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway image cp [OPTIONS] SOURCE DESTINATION",
    help_template = super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway image cp, slipway image copy",
    after_help = PLACES
)]
pub(crate) struct Args {
    /// From where
    #[arg(value_name = "SOURCE", hide = true, value_parser = place)]
    from: Place,
    /// To where
    #[arg(value_name = "DESTINATION", hide = true, value_parser = place)]
    to: Place,
    /// Set platform if the source has images for several
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Suppress verbose output
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    registry: RegistryArgs,
}

fn place(text: &str) -> Result<Place, PlaceError> {
    Place::from_str(text)
}

/// Copies an image.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let Args { from, to, platform, quiet, registry } = args;
    let engine = store::open(global)?.with_registries(registry.settings()?);
    let layers = if quiet { Layers::silent() } else { Layers::on(Stream::Stderr) };
    let request = CopyRequest { from, to, platform };
    let copied = interruptible(engine.copy_image(&request, &layers.listener()));
    layers.finish();
    match copied? {
        Ok(copied) => console::print(&format!("{}\n", copied?)),
        Err(Interrupted) => Ok(Exit::Interrupted),
    }
}
