//! `slipway tag`.

use image::Reference;

use crate::arguments::Global;
use crate::report::{Exit, Report};
use crate::store;

/// Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway tag SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
    help_template = super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway image tag, slipway tag"
)]
pub(crate) struct Args {
    /// Name or ID of an image
    #[arg(value_name = "SOURCE_IMAGE", hide = true)]
    source: String,
    /// Its new name
    #[arg(value_name = "TARGET_IMAGE", hide = true)]
    target: Reference,
}

/// Gives an image another name.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    store::open(global)?.tag_image(&args.source, &args.target)?;
    Ok(Exit::Success)
}
