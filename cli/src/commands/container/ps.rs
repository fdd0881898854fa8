//! `slipway ps`.

use std::time::SystemTime;

use engine::Engine;
use engine::containers::{Container, ContainerFilters};

use super::row::{HEADERS, Row};
use crate::arguments::Global;
use crate::console;
use crate::output::Format;
use crate::report::{Exit, Report};
use crate::store;

const TABLE: &str =
    "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}";
const TABLE_WITH_SIZE: &str = "table {{.ID}}\t{{.Image}}\t{{.Command}}\t{{.RunningFor}}\t{{.Status}}\t{{.Ports}}\t{{.Names}}\t{{.Size}}";
const QUIET: &str = "{{.ID}}";

/// List containers
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway ps [OPTIONS]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container ls, slipway container list, slipway container ps, slipway ps"
)]
pub(crate) struct Args {
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    /// Filter output based on conditions provided (ancestor, before, exited, expose, health, id, label, name, network, publish, since, status, volume)
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    #[arg(long, value_name = "FORMAT", help = super::super::LIST_FORMAT_HELP)]
    format: Option<String>,
    /// Show NUMBER last created containers (includes all states)
    #[arg(short = 'n', long, value_name = "NUMBER", default_value_t = -1, hide_default_value = true, allow_hyphen_values = true)]
    last: i64,
    /// Show the latest created container (includes all states)
    #[arg(short, long)]
    latest: bool,
    /// Don't truncate output
    #[arg(long)]
    no_trunc: bool,
    /// Only display container IDs
    #[arg(short, long)]
    quiet: bool,
    /// Display total file sizes
    #[arg(short, long)]
    size: bool,
}

/// Lists containers.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let source = args.format.as_deref().unwrap_or("table");
    let table = match (args.quiet, args.size) {
        (true, _) => QUIET,
        (false, true) => TABLE_WITH_SIZE,
        (false, false) => TABLE,
    };
    let format = Format::parse(source, table)?;
    let filters = ContainerFilters::parse(args.filter.iter().map(String::as_str))?;
    let engine = store::open(global)?;
    let containers = select(&engine, args, &filters)?;
    let with_size = args.size || source.contains(".Size") || source == "json";
    let now = SystemTime::now();
    let row = |container: &Container| {
        let size_bytes = with_size.then(|| engine.container_size(container));
        Row { container, size_bytes, no_trunc: args.no_trunc, now }.value(&engine)
    };
    let rows: Vec<_> = containers.iter().map(row).collect();
    console::print(&format.render(&rows, HEADERS)?)
}

fn select(engine: &Engine, args: &Args, filters: &ContainerFilters) -> Result<Vec<Container>, Report> {
    let last = if args.latest { Some(1) } else { usize::try_from(args.last).ok().filter(|last| *last > 0) };
    let mut containers = engine.filter_containers(engine.containers()?, filters)?;
    if !args.all && last.is_none() && !filters.is_about_state() {
        containers.retain(|container| container.state.status.is_alive());
    }
    containers.truncate(last.unwrap_or(usize::MAX));
    Ok(containers)
}
