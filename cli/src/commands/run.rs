//! `slipway run`.

use engine::Engine;
use engine::containers::{Container, Creation, Streams};

use super::container::{Attaching, End, Keyboard, SettingsArgs, create, obtain};
use crate::arguments::Global;
use crate::console;
use crate::report::{Exit, Report};
use crate::runtime::Interrupted;
use crate::store;

/// Create and run a new container from an image
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway run [OPTIONS] IMAGE [COMMAND] [ARG...]",
    help_template = super::HELP_WITH_ALIASES,
    before_help = "\nAliases:\n  slipway container run, slipway run",
    disable_help_flag = true
)]
pub(crate) struct Args {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Run container in background and print container ID
    #[arg(short, long)]
    detach: bool,
    #[command(flatten)]
    attaching: super::container::attach::AttachingArgs,
}

/// Runs a container, in the foreground unless it is to go on without us.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    run_inner(args, global).map_err(Report::of_run)
}

fn run_inner(args: Args, global: &Global) -> Result<Exit, Report> {
    let Args { settings: args, detach, attaching } = args;
    if args.tty && args.interactive && !detach && !console::stdin_is_terminal() {
        return Err(Report::new(Exit::NotStarted, "the input device is not a TTY"));
    }
    let keyboard = match (args.interactive, args.tty) {
        (true, true) => Keyboard::Terminal,
        (true, false) => Keyboard::Pipe,
        (false, _) => Keyboard::Ignored,
    };
    let attaching = attaching.attaching(keyboard, args.tty)?;
    let registries = args.registry.clone().settings()?;
    let (obtaining, cidfile, name) = (args.obtaining(), args.cidfile.clone(), args.name.clone());
    let settings = args.settings()?;
    let cidfile = cidfile.map(create::IdFile::new).transpose()?;
    let engine = store::open_with_networks(global, &settings.sharing.others())?.with_registries(registries);
    let creation = engine.prepare_container(settings.network_alone());
    match obtain(&engine, &settings.image, &obtaining)? {
        Ok(()) => {}
        Err(Interrupted) => return Ok(Exit::Interrupted),
    }
    let container = engine.create_container(&settings, name.as_deref(), Some(&creation))?;
    if let Some(cidfile) = cidfile {
        cidfile.write(&container)?;
    }
    if detach {
        engine.start_container(
            &container.config.id,
            Streams::default(),
            console::window_size(),
            Some(creation),
        )?;
        return console::print(&format!("{}\n", container.config.id));
    }
    foreground(&engine, &container, creation, &attaching)
}

fn foreground(
    engine: &Engine,
    container: &Container,
    creation: Creation,
    attaching: &Attaching,
) -> Result<Exit, Report> {
    let id = &container.config.id;
    let streams = Streams { stdin: attaching.keyboard != Keyboard::Ignored, output: true };
    let end = super::container::attach::connect(attaching, || {
        Ok(engine.start_container(id, streams, console::window_size(), Some(creation))?)
    })?;
    if matches!(end, End::NobodyReads) && container.config.settings.auto_remove {
        // Whoever wanted its output and nothing of it afterwards wants nothing any more.
        engine.stop_container(id, Some("KILL"), None)?;
    }
    Ok(end.exit())
}
