//! `slipway save`.

use std::io;
use std::path::PathBuf;

use crate::arguments::Global;
use crate::console;
use crate::files::{self, Durability};
use crate::progress::Meter;
use crate::report::{Exit, Report};
use crate::store;

/// Save one or more images to a tar archive (streamed to STDOUT by default)
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway save [OPTIONS] IMAGE [IMAGE...]",
    help_template = super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway image save, slipway save"
)]
pub(crate) struct Args {
    /// Names or IDs
    #[arg(value_name = "IMAGE", required = true, hide = true)]
    images: Vec<String>,
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Saves images.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    if args.output.is_none() && console::stdout_is_terminal() {
        return Err(Report::mistake("cowardly refusing to save to a terminal. Use the -o flag or redirect"));
    }
    let engine = store::open(global)?;
    let meter = Meter::new();
    let on_progress = |part: &str, current, total| meter.show(part, current, total);
    match &args.output {
        Some(path) => files::replace(path, Durability::Durable, |file| {
            engine.save_images(&args.images, file, &on_progress).map_err(Report::from)
        })?,
        None => engine.save_images(&args.images, &mut io::stdout().lock(), &on_progress)?,
    }
    meter.finish();
    Ok(Exit::Success)
}
