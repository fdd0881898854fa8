//! `slipway exec`.

use std::path::PathBuf;

use engine::containers::{ExecRequest, Streams};

use super::{Attaching, DETACH_KEYS, Keyboard, environment, stdio};
use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// Execute a command in a running container
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway exec [OPTIONS] CONTAINER COMMAND [ARG...]",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container exec, slipway exec"
)]
pub(crate) struct Args {
    /// Name or ID, then the command and its arguments
    #[arg(
        value_name = "CONTAINER",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        hide = true
    )]
    words: Vec<String>,
    /// Detached mode: run command in the background
    #[arg(short, long)]
    detach: bool,
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS", default_value = DETACH_KEYS, hide_default_value = true)]
    detach_keys: String,
    /// Set environment variables; NAME alone takes the value of the environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Keep STDIN open even if not attached
    #[arg(short, long)]
    interactive: bool,
    /// Give extended privileges to the command
    #[arg(long)]
    privileged: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Username or UID (format: "<name|uid>[:<group|gid>]")
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
}

/// Runs a command in a container.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    let mut words = args.words.into_iter();
    let name = words.next().expect("the parser requires a container");
    let argv: Vec<String> = words.collect();
    if argv.is_empty() {
        return Err(Report::mistake("\"slipway exec\" requires at least 2 arguments")
            .hint("see 'slipway exec --help'"));
    }
    if args.tty && args.interactive && !args.detach && !console::stdin_is_terminal() {
        return Err(Report::mistake("the input device is not a TTY"));
    }
    let keyboard = match (args.interactive, args.tty) {
        (true, true) => Keyboard::Terminal,
        (true, false) => Keyboard::Pipe,
        (false, _) => Keyboard::Ignored,
    };
    let request = ExecRequest {
        argv,
        env: environment::read(&args.env_file, &args.env)?,
        working_dir: args.workdir,
        user: args.user,
        is_privileged: args.privileged,
        tty: args.tty.then(console::window_size),
        streams: Streams { stdin: args.interactive && !args.detach, output: !args.detach },
    };
    let detach_keys = stdio::parse_keys(&args.detach_keys).map_err(Report::mistake)?;
    let engine = store::open(global)?;
    if args.detach {
        engine.exec_container(&name, &request)?;
        return Ok(Exit::Success);
    }
    // As with Docker, only a terminal passes on what is meant for the command: as keys.
    let attaching = Attaching { keyboard, tty: args.tty, passes_signals: false, detach_keys };
    let end = super::attach::connect(&attaching, || Ok(engine.exec_container(&name, &request)?))?;
    Ok(end.exit())
}
