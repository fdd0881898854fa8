//! `slipway commit`.

use engine::containers::CommitRequest;
use image::Reference;

use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Create a new image from a container's changes
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway commit [OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container commit, slipway commit"
)]
pub(crate) struct Args {
    /// Name or ID
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    container: String,
    /// Name of the image
    #[arg(value_name = "REPOSITORY[:TAG]", hide = true)]
    reference: Option<Reference>,
    /// Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    author: String,
    /// Apply Dockerfile instruction to the created image
    #[arg(short, long, value_name = "INSTRUCTION")]
    change: Vec<String>,
    /// Commit message
    #[arg(short, long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    message: String,
    /// Pause container during commit
    #[arg(short, long, value_name = "BOOL", default_value_t = true, hide_default_value = true)]
    #[arg(action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    pause: bool,
}

/// Makes an image of a container, and prints its id.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let request = CommitRequest {
        reference: args.reference,
        author: args.author,
        message: args.message,
        changes: args.change,
        pauses: args.pause,
    };
    let id = store::open(global)?.commit_container(&args.container, &request)?;
    console::print(&format!("{id}\n"))
}
