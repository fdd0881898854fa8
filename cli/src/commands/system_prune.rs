//! `slipway system prune`.

use engine::images::Filters;
use engine::space::{PruneOptions, add_filter};

use super::prune::{confirm, deleted_caches, deleted_images, total};
use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Remove unused data
#[derive(Debug, clap::Args)]
#[command(override_usage = "slipway system prune [OPTIONS]", help_template = super::HELP)]
pub(crate) struct Args {
    /// Remove all unused images, not just dangling ones
    #[arg(short, long)]
    all: bool,
    // Docker's words, which rustdoc would take for HTML.
    #[arg(long, value_name = "NAME=VALUE")]
    #[arg(help = r#"Provide filter values (e.g. "label=<key>=<value>", "until=24h")"#)]
    filter: Vec<String>,
    /// Do not prompt for confirmation
    #[arg(short, long)]
    force: bool,
}

/// Removes images that nobody uses, then what of the build cache nobody uses.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let filters = Filters::parse(args.filter.iter().map(String::as_str))?;
    let mut options = PruneOptions { all: args.all, ..PruneOptions::default() };
    // The build cache knows no labels: as in Docker, it is pruned whatever they are.
    for filter in args.filter.iter().filter(|filter| filter.trim_start().starts_with("until")) {
        add_filter(&mut options, filter).map_err(|error| Report::mistake(error.to_string()))?;
    }
    if !args.force && !confirm(&question(args))? {
        return Ok(Exit::Success);
    }
    let engine = store::open(global)?;
    let images = engine.prune_images(args.all, &filters)?;
    let caches = engine.prune_cache(&options).map_err(|error| Report::of_store(&error))?;
    let text = deleted_images(&images.removed) + &deleted_caches(&caches.ids);
    console::print(&(text + &total(images.bytes + caches.bytes)))
}

/// In Docker's words. Containers and networks end with the process that made them, so they are not listed.
fn question(args: &Args) -> String {
    let (images, cache) = match args.all {
        true => ("all images without at least one container associated to them", "all build cache"),
        false => ("all dangling images", "unused build cache"),
    };
    let mut text = format!("WARNING! This will remove:\n  - {images}\n  - {cache}\n");
    if !args.filter.is_empty() {
        text += "\n  Items to be pruned will be filtered with:\n";
        for filter in &args.filter {
            text += &format!("  - {filter}\n");
        }
    }
    text + "\nAre you sure you want to continue?"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_names_what_goes() {
        let args = |all, filter: &[&str]| Args {
            all,
            filter: filter.iter().map(ToString::to_string).collect(),
            force: false,
        };
        insta::assert_snapshot!(question(&args(false, &[])), @"
        WARNING! This will remove:
          - all dangling images
          - unused build cache

        Are you sure you want to continue?
        ");
        insta::assert_snapshot!(question(&args(true, &["until=24h"])), @"
        WARNING! This will remove:
          - all images without at least one container associated to them
          - all build cache

          Items to be pruned will be filtered with:
          - until=24h

        Are you sure you want to continue?
        ");
    }
}
