//! `slipway start`.

use engine::Engine;
use engine::containers::{Container, Streams};

use super::{Keyboard, attach, each};
use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Start one or more stopped containers
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway start [OPTIONS] CONTAINER [CONTAINER...]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container start, slipway start"
)]
pub(crate) struct Args {
    /// Names or IDs
    #[arg(value_name = "CONTAINER", required_unless_present = "restart_policy", hide = true)]
    containers: Vec<String>,
    /// Attach STDOUT/STDERR and forward signals
    #[arg(short, long)]
    attach: bool,
    /// Attach the STDIN of the container
    #[arg(short, long)]
    interactive: bool,
    /// Start all containers whose restart policy wants them to run, as after a restart of the machine
    #[arg(long, conflicts_with_all = ["containers", "attach", "interactive"])]
    restart_policy: bool,
    #[command(flatten)]
    attaching: super::attach::AttachingArgs,
}

/// Starts containers, or one, to stay connected with it.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let engine = store::open_to_start(global, &args.containers)?;
    if args.restart_policy {
        let wanted = engine.containers()?.into_iter().filter(Container::is_to_run);
        let names: Vec<String> = wanted.map(|container| container.config.name).collect();
        return start_all(&engine, &names);
    }
    if args.attach || args.interactive {
        return match args.containers.as_slice() {
            [name] => attached(args, &engine, name),
            _ => Err(Report::mistake("you cannot start and attach multiple containers at once")),
        };
    }
    start_all(&engine, &args.containers)
}

fn start_all(engine: &Engine, names: &[String]) -> Result<Exit, Report> {
    each(names, |name| {
        engine.start_container(name, Streams::default(), console::window_size(), None).map(|_| ())
    })
}

fn attached(args: &Args, engine: &Engine, name: &str) -> Result<Exit, Report> {
    let settings = engine.container(name)?.config.settings;
    let keyboard = match (args.interactive && settings.open_stdin, settings.tty) {
        (true, true) => Keyboard::Terminal,
        (true, false) => Keyboard::Pipe,
        (false, _) => Keyboard::Ignored,
    };
    let attaching = args.attaching.attaching(keyboard, settings.tty)?;
    let streams = Streams { stdin: keyboard != Keyboard::Ignored, output: true };
    let end = attach::connect(&attaching, || {
        Ok(engine.start_container(name, streams, console::window_size(), None)?)
    })?;
    Ok(end.exit())
}
