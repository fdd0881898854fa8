//! `slipway diff`.

use engine::containers::Change;
use engine::images::ChangeKind;

use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Inspect changes to files or directories on a container's filesystem
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway diff CONTAINER",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container diff, slipway diff"
)]
pub(crate) struct Args {
    /// Name or ID
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    container: String,
}

/// Shows what a container has changed.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let changes = store::open(global)?.container_changes(&args.container)?;
    let line = |Change { path, kind }: &Change| {
        let letter = match kind {
            ChangeKind::Added => 'A',
            ChangeKind::Changed => 'C',
            ChangeKind::Removed => 'D',
        };
        format!("{letter} {}\n", path.display())
    };
    console::print(&changes.iter().map(line).collect::<String>())
}
