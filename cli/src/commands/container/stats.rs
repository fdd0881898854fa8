//! `slipway stats`.

use std::collections::BTreeMap;
use std::time::Duration;

use engine::Engine;
use engine::containers::{Container, ContainerUsage};

use crate::arguments::Global;
use crate::console;
use crate::output::{Format, Headers, size, size_binary, truncate_id};
use crate::report::{Exit, Report};
use crate::store;
use crate::template::Value;

const TABLE: &str = "table {{.ID}}\t{{.Name}}\t{{.CPUPerc}}\t{{.MemUsage}}\t{{.MemPerc}}\t{{.NetIO}}\t{{.BlockIO}}\t{{.PIDs}}";
const HEADERS: &Headers = &[
    ("ID", "CONTAINER ID"),
    ("Container", "CONTAINER"),
    ("Name", "NAME"),
    ("CPUPerc", "CPU %"),
    ("MemUsage", "MEM USAGE / LIMIT"),
    ("MemPerc", "MEM %"),
    ("NetIO", "NET I/O"),
    ("BlockIO", "BLOCK I/O"),
    ("PIDs", "PIDS"),
];
/// Between two looks: what is used of a processor is the difference.
const INTERVAL: Duration = Duration::from_secs(1);
/// Significant digits of a size.
const SIZE_DIGITS: usize = 3;
/// What is not known.
const UNKNOWN: &str = "--";
/// Clears a terminal, and begins at its top.
const CLEAR: &str = "\x1b[2J\x1b[H";

/// Display a live stream of container(s) resource usage statistics
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway stats [OPTIONS] [CONTAINER...]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container stats, slipway stats"
)]
pub(crate) struct Args {
    /// Names or IDs
    #[arg(value_name = "CONTAINER", hide = true)]
    containers: Vec<String>,
    /// Show all containers (default shows just running)
    #[arg(short, long)]
    all: bool,
    #[arg(long, value_name = "FORMAT", help = super::super::LIST_FORMAT_HELP)]
    format: Option<String>,
    /// Disable streaming stats and only pull the first result
    #[arg(long)]
    no_stream: bool,
    /// Do not truncate output
    #[arg(long)]
    no_trunc: bool,
}

type Looks = BTreeMap<String, ContainerUsage>;

/// Shows what containers use, until somebody has seen enough.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let format = Format::parse(args.format.as_deref().unwrap_or("table"), TABLE)?;
    let engine = store::open(global)?;
    let mut before = look(&engine, &select(&engine, args)?)?;
    loop {
        std::thread::sleep(INTERVAL);
        let containers = select(&engine, args)?;
        let now = look(&engine, &containers)?;
        let row = |container: &Container| {
            let id = &container.config.id;
            row(args, container, before.get(id), now.get(id))
        };
        let shown = format.render(&containers.iter().map(row).collect::<Vec<_>>(), HEADERS)?;
        let is_live = !args.no_stream && console::stdout_is_terminal();
        console::print(&format!("{}{shown}", if is_live { CLEAR } else { "" }))?;
        if args.no_stream {
            return Ok(Exit::Success);
        }
        before = now;
    }
}

fn select(engine: &Engine, args: &Args) -> Result<Vec<Container>, Report> {
    if args.containers.is_empty() {
        let all = engine.containers()?.into_iter();
        return Ok(all.filter(|container| args.all || container.is_running()).collect());
    }
    Ok(args.containers.iter().map(|name| engine.container(name)).collect::<Result<_, _>>()?)
}

fn look(engine: &Engine, containers: &[Container]) -> Result<Looks, Report> {
    let mut looks = Looks::new();
    for container in containers {
        if let Some(usage) = engine.container_usage(container)? {
            looks.insert(container.config.id.clone(), usage);
        }
    }
    Ok(looks)
}

fn row(
    args: &Args,
    container: &Container,
    before: Option<&ContainerUsage>,
    now: Option<&ContainerUsage>,
) -> Value {
    let id = &container.config.id;
    let pair = |one: String, other: String| format!("{one} / {other}");
    let bytes = |bytes: Option<u64>| bytes.map_or(UNKNOWN.to_owned(), |bytes| size(bytes, SIZE_DIGITS));
    let of = |field: fn(&ContainerUsage) -> u64| now.map_or(0, field);
    let memory = (of(|usage| usage.memory_bytes), of(|usage| usage.memory_bytes_max));
    let disk = now.map_or((Some(0), Some(0)), |usage| (usage.read_bytes, usage.written_bytes));
    Value::record([
        ("BlockIO", Value::from(pair(bytes(disk.0), bytes(disk.1)))),
        ("CPUPerc", Value::from(format!("{:.2}%", cpu_percent(before, now)))),
        ("Container", Value::from(truncate_id(id))),
        ("ID", Value::from(if args.no_trunc { id.clone() } else { truncate_id(id) })),
        ("MemPerc", Value::from(format!("{:.2}%", percent(memory.0 as f64, memory.1 as f64)))),
        ("MemUsage", Value::from(pair(size_binary(memory.0), size_binary(memory.1)))),
        ("Name", Value::from(container.config.name.as_str())),
        (
            "NetIO",
            Value::from(pair(
                bytes(Some(of(|usage| usage.received_bytes))),
                bytes(Some(of(|usage| usage.sent_bytes))),
            )),
        ),
        ("PIDs", Value::from(now.map_or(0, |usage| usage.processes).to_string())),
    ])
}

/// Of one processor.
fn cpu_percent(before: Option<&ContainerUsage>, now: Option<&ContainerUsage>) -> f64 {
    let (Some(before), Some(now)) = (before, now) else { return 0.0 };
    let used = now.cpu_ns.saturating_sub(before.cpu_ns);
    percent(used as f64, now.at.duration_since(before.at).as_nanos() as f64)
}

fn percent(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole * 100.0 } else { 0.0 }
}
