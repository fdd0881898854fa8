//! `slipway export`.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Export a container's filesystem as a tar archive
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway export [OPTIONS] CONTAINER",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container export, slipway export"
)]
pub(crate) struct Args {
    /// Name or ID
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    container: String,
    /// Write to a file, instead of STDOUT
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Writes the files of a container as a tar.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    if args.output.is_none() && console::stdout_is_terminal() {
        return Err(
            Report::mistake("cowardly refusing to save to a terminal").hint("use the -o flag or redirect")
        );
    }
    let engine = store::open(global)?;
    // An unknown container leaves no file.
    engine.container(&args.container)?;
    let Some(path) = &args.output else {
        engine.export_container(&args.container, &mut io::stdout().lock())?;
        return Ok(Exit::Success);
    };
    let file = File::create(path).map_err(|error| Report::file(path, &error))?;
    let mut file = BufWriter::new(file);
    let written = engine.export_container(&args.container, &mut file).map_err(Report::from);
    let written = written.and_then(|()| file.flush().map_err(|error| Report::file(path, &error)));
    if written.is_err() {
        // Half a tar is of no use.
        let _ = std::fs::remove_file(path);
    }
    written.map(|()| Exit::Success)
}
