//! `slipway import`.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use engine::images::ImportOptions;
use image::{Platform, Reference};

use crate::arguments::Global;
use crate::console;
use crate::progress::Meter;
use crate::report::{Exit, Report};
use crate::store;

/// Import the contents from a tarball to create a filesystem image
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway import [OPTIONS] file|- [REPOSITORY[:TAG]]",
    help_template = super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway image import, slipway import"
)]
pub(crate) struct Args {
    /// A tar, or "-" to read it from standard input
    #[arg(value_name = "file|-", hide = true)]
    source: PathBuf,
    /// Name of the image
    #[arg(value_name = "REPOSITORY[:TAG]", hide = true)]
    name: Option<Reference>,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Set commit message for imported image
    #[arg(short, long, value_name = "TEXT")]
    message: Option<String>,
    /// Set platform of the image
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
}

/// Makes an image of a tar.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let mut tar: Box<dyn Read> = if args.source == Path::new("-") {
        if console::stdin_is_terminal() {
            return Err(Report::mistake("a tar is expected on standard input, which is a terminal"));
        }
        Box::new(io::stdin().lock())
    } else {
        Box::new(File::open(&args.source).map_err(|error| Report::file(&args.source, &error))?)
    };
    let options = ImportOptions {
        reference: args.name,
        changes: args.change,
        message: args.message,
        platform: args.platform,
        source_date_epoch: super::source_date_epoch()?,
    };
    let engine = store::open(global)?;
    let meter = Meter::new();
    let id =
        engine.import_image(&mut *tar, &options, &|part, current, total| meter.show(part, current, total))?;
    meter.finish();
    console::print(&format!("{id}\n"))
}
