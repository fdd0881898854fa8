//! `slipway rmi`.

use engine::images::{ImageError, RemoveOptions};

use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Remove one or more images
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway rmi [OPTIONS] IMAGE [IMAGE...]",
    help_template = super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway image rm, slipway image remove, slipway rmi"
)]
pub(crate) struct Args {
    /// Names or IDs
    #[arg(value_name = "IMAGE", required = true, hide = true)]
    images: Vec<String>,
    /// Force removal of the image
    #[arg(short, long)]
    force: bool,
    /// Do not delete untagged parents (here images have no parents)
    #[arg(long)]
    no_prune: bool,
}

/// Removes names and images; what can be removed is, whatever becomes of the others.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let engine = store::open(global)?;
    let mut exit = Exit::Success;
    for name in &args.images {
        match engine.remove_image(name, RemoveOptions { force: args.force }) {
            Ok(removed) => {
                let lines: String = removed.iter().map(|removed| format!("{removed}\n")).collect();
                console::print(&lines)?;
            }
            Err(error) => {
                let is_absent = matches!(error, ImageError::NoSuchImage { .. });
                let failure = Report::from(error).print();
                // As with `rm`, what is forced away may have been away before.
                if !(args.force && is_absent) {
                    exit = failure;
                }
            }
        }
    }
    Ok(exit)
}
