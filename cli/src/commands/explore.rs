//! `slipway image explore`.

use std::path::PathBuf;

use crate::arguments::Global;
use crate::console;
use crate::explore;
use crate::files::{self, Durability};
use crate::report::{Exit, Report};
use crate::store;

/// Show what each layer of an image added, changed and wasted
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway image explore [OPTIONS] IMAGE", help_template = super::HELP)]
pub(crate) struct Args {
    /// Name or ID
    #[arg(value_name = "IMAGE", hide = true)]
    image: String,
    /// Show every path; without, small ones are put together
    #[arg(short, long)]
    all: bool,
    /// Format output ("tree", "json")
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "tree", hide_default_value = true)]
    #[arg(hide_possible_values = true)]
    format: ExploreFormat,
    /// Write a page for a browser to a file, instead
    #[arg(long, value_name = "FILE", conflicts_with_all = ["format", "all"])]
    html: Option<PathBuf>,
}

/// `--format`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum ExploreFormat {
    Tree,
    Json,
}

/// Shows the layers of an image.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let exploration = store::open(global)?.explore_image(&args.image)?;
    if let Some(path) = &args.html {
        let page = explore::page(&exploration, &args.image);
        files::replace(path, Durability::Durable, |file| {
            file.write_all(page.as_bytes()).map_err(|error| Report::file(path, &error))
        })?;
        return Ok(Exit::Success);
    }
    console::print(&match args.format {
        ExploreFormat::Tree => explore::text(&exploration, args.all),
        ExploreFormat::Json => explore::json(&exploration),
    })
}
