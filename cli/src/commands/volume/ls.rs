//! `slipway volume ls`.

use engine::volumes::{Volume, VolumeFilters};

use crate::arguments::Global;
use crate::console;
use crate::output::{Format, Headers};
use crate::report::{Exit, Report};
use crate::store;
use crate::template::Value;

const TABLE: &str = "table {{.Driver}}\t{{.Name}}";
const QUIET: &str = "{{.Name}}";
const HEADERS: &Headers = &[
    ("Availability", "AVAILABILITY"),
    ("Driver", "DRIVER"),
    ("Group", "GROUP"),
    ("Labels", "LABELS"),
    ("Links", "LINKS"),
    ("Mountpoint", "MOUNTPOINT"),
    ("Name", "VOLUME NAME"),
    ("Scope", "SCOPE"),
    ("Size", "SIZE"),
    ("Status", "STATUS"),
];
/// What is not counted, or is of clusters.
const NOT_KNOWN: &str = "N/A";
const FILTERS: [&str; 4] = ["dangling", "driver", "label", "name"];

/// List volumes
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway volume ls [OPTIONS]",
    help_template = crate::commands::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway volume ls, slipway volume list"
)]
pub(crate) struct Args {
    /// Provide filter values (dangling, driver, label, name)
    #[arg(short, long, value_name = "NAME=VALUE")]
    filter: Vec<String>,
    #[arg(long, value_name = "FORMAT", help = crate::commands::LIST_FORMAT_HELP)]
    format: Option<String>,
    /// Only display volume names
    #[arg(short, long)]
    quiet: bool,
}

/// Lists volumes.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let source = args.format.as_deref().unwrap_or("table");
    let format = Format::parse(source, if args.quiet { QUIET } else { TABLE })?;
    let filters = VolumeFilters::parse(args.filter.iter().map(String::as_str), &FILTERS)?;
    let volumes = store::open(global)?.volumes(&filters)?;
    let rows: Vec<Value> = volumes.iter().map(row).collect();
    console::print(&format.render(&rows, HEADERS)?)
}

fn row(volume: &Volume) -> Value {
    let labels = volume.labels.iter().flatten().map(|(name, value)| format!("{name}={value}"));
    Value::record([
        ("Availability", Value::from(NOT_KNOWN)),
        ("Driver", Value::from(volume.driver.as_str())),
        ("Group", Value::from(NOT_KNOWN)),
        ("Labels", Value::from(labels.collect::<Vec<_>>().join(","))),
        ("Links", Value::from(NOT_KNOWN)),
        ("Mountpoint", Value::from(volume.mountpoint.display().to_string())),
        ("Name", Value::from(volume.name.as_str())),
        ("Scope", Value::from(volume.scope.as_str())),
        ("Size", Value::from(NOT_KNOWN)),
        ("Status", Value::from(NOT_KNOWN)),
    ])
}
