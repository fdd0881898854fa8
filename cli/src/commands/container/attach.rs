//! `slipway attach`.

use engine::containers::{Session, Streams};

use super::stdio::{self, parse_keys};
use super::{Attaching, DETACH_KEYS, End, Keyboard};
use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::store;

/// How a user is connected to a container.
#[derive(Debug, clap::Args)]
pub(crate) struct AttachingArgs {
    /// Override the key sequence for detaching a container
    #[arg(long, value_name = "KEYS", default_value = DETACH_KEYS, hide_default_value = true)]
    detach_keys: String,
    /// Proxy received signals to the process
    #[arg(long, value_name = "BOOL", default_value_t = true, hide_default_value = true)]
    #[arg(action = clap::ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    sig_proxy: bool,
}

impl AttachingArgs {
    pub(crate) fn attaching(&self, keyboard: Keyboard, tty: bool) -> Result<Attaching, Report> {
        let detach_keys = parse_keys(&self.detach_keys).map_err(|error| {
            Report::mistake(format!("invalid detach keys ({}): {error}", self.detach_keys))
        })?;
        Ok(Attaching { keyboard, tty, passes_signals: self.sig_proxy, detach_keys })
    }
}

/// Attach local standard input, output, and error streams to a running container
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway attach [OPTIONS] CONTAINER",
    help_template = super::super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container attach, slipway attach"
)]
pub(crate) struct Args {
    /// Name or ID
    #[arg(value_name = "CONTAINER", required = true, hide = true)]
    container: String,
    #[command(flatten)]
    attaching: AttachingArgs,
    /// Do not attach STDIN
    #[arg(long)]
    no_stdin: bool,
}

/// Connects with a container until it ends, or the user lets go of it.
pub(crate) fn run(args: &Args, global: &Global) -> Result<Exit, Report> {
    let engine = store::open(global)?;
    let settings = engine.container(&args.container)?.config.settings;
    let keyboard = match (settings.open_stdin && !args.no_stdin, settings.tty) {
        (true, true) if !console::stdin_is_terminal() => {
            return Err(Report::mistake("the input device is not a TTY"));
        }
        (true, true) => Keyboard::Terminal,
        (true, false) => Keyboard::Pipe,
        (false, _) => Keyboard::Ignored,
    };
    let attaching = args.attaching.attaching(keyboard, settings.tty)?;
    let streams = Streams { stdin: keyboard != Keyboard::Ignored, output: true };
    let end = connect(&attaching, || {
        Ok(engine.attach_container(&args.container, streams, console::window_size())?)
    })?;
    Ok(end.exit())
}

/// Stays connected until the end; says so when the user lets go.
pub(crate) fn connect(
    attaching: &Attaching,
    start: impl FnOnce() -> Result<Session, Report>,
) -> Result<End, Report> {
    let end = stdio::run(attaching, start)?;
    if matches!(end, End::Detached) {
        console::print_error("read escape sequence\n");
    }
    Ok(end)
}
