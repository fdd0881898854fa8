//! `slipway load`.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use engine::images::Source;

use crate::arguments::Global;
use crate::console;
use crate::progress::Meter;
use crate::report::{Exit, Report};
use crate::store;

/// Load an image from a tar archive or STDIN
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway load [OPTIONS]",
    help_template = super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway image load, slipway load"
)]
pub(crate) struct Args {
    /// Read from tar archive file, instead of STDIN
    #[arg(short, long, value_name = "FILE")]
    input: Option<PathBuf>,
    /// Suppress the load output
    #[arg(short, long)]
    quiet: bool,
}

/// Loads images.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let mut stdin = io::stdin().lock();
    let source = match &args.input {
        Some(path) => Source::File(File::open(path).map_err(|error| Report::file(path, &error))?),
        None if console::stdin_is_terminal() => {
            return Err(Report::mistake("requested load from stdin, but stdin is empty")
                .hint("name an archive with `--input FILE`"));
        }
        None => Source::Stream(&mut stdin),
    };
    let engine = store::open(global)?;
    let meter = if args.quiet { Meter::silent() } else { Meter::new() };
    let loaded = engine.load_images(source, &|part, current, total| meter.show(part, current, total))?;
    meter.finish();
    console::print(&loaded.iter().map(|loaded| format!("{loaded}\n")).collect::<String>())
}
