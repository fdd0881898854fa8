//! The command line: which commands there are and what all of them share.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::error::ErrorKind;
use clap::{Args, Parser, Subcommand};

use crate::commands::manifest::ManifestCommand;
use crate::commands::network::NetworkCommand;
use crate::commands::volume::VolumeCommand;
use crate::commands::{
    HELP, build, builder_gc, builder_logs, builder_prune, ci_init, container, daemon, df, doctor, events,
    explore, fmt, graph, history, image_copy, image_prune, images, import, info, inspect, load, login,
    logout, pull, push, rmi, run, save, search, store_check, system_prune, tag, version, why,
};
use crate::report::Exit;

/// Builds images from Dockerfiles, and runs them, without a daemon
#[derive(Debug, Parser)]
#[command(
    name = "slipway",
    version,
    disable_help_subcommand = true,
    subcommand_value_name = "COMMAND",
    subcommand_help_heading = "Commands",
    override_usage = "slipway [OPTIONS] COMMAND",
    arg_required_else_help = true,
    help_template = HELP,
    after_help = Exit::help(),
    max_term_width = 100
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

impl Arguments {
    /// Reads the arguments of this process.
    ///
    /// Describing all commands to the parser takes a third of the time of a build in which nothing changed, so the
    /// commands that machines run all day are tried alone first. What is not understood so is read again among
    /// all commands, which says what is wrong.
    pub(crate) fn read() -> Result<Self, clap::Error> {
        Self::of(std::env::args_os().collect())
    }

    /// The same of these words, of which the first is the name of the program.
    pub(crate) fn of(words: Vec<OsString>) -> Result<Self, clap::Error> {
        Self::read_frequent(&words).map_or_else(|| Self::try_parse_from(words), Ok)
    }

    fn read_frequent(words: &[OsString]) -> Option<Self> {
        let at = command_place(words)?;
        match words[at].to_str()? {
            "build" => Alone::read(words, at, |args| Command::Build(Box::new(args))),
            "exec" => Alone::read(words, at, |args| Command::Exec(Box::new(args))),
            "run" => Alone::read(words, at, |args| Command::Run(Box::new(args))),
            _ => None,
        }
    }
}

/// Which of the words is the command: the first after the flags of [`Global`].
fn command_place(words: &[OsString]) -> Option<usize> {
    let mut at = 1;
    loop {
        at += match words.get(at)?.to_str()? {
            "--root" => 2,
            "-D" | "--debug" => 1,
            word if word.starts_with("--root=") => 1,
            _ => return Some(at),
        }
    }
}

/// A command without the others.
#[derive(Parser)]
struct Alone<T: Args> {
    #[command(flatten)]
    global: Global,
    #[command(flatten)]
    args: T,
}

impl<T: Args> Alone<T> {
    /// None when it is not understood.
    fn read(words: &[OsString], at: usize, command: fn(T) -> Command) -> Option<Arguments> {
        let others = words[..at].iter().chain(&words[at + 1..]);
        let Self { global, args } = Self::try_parse_from(others).ok()?;
        Some(Arguments { global, command: command(args) })
    }
}

/// What every command understands.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Directory of the store (default "/var/lib/slipway" for root, "$XDG_DATA_HOME/slipway" otherwise)
    #[arg(long, global = true, env = "SLIPWAY_ROOT", hide_env_values = true, value_name = "DIR")]
    #[arg(help_heading = "Global Options")]
    pub(crate) root: Option<PathBuf>,
    /// Enable debug mode
    #[arg(short = 'D', long, global = true, help_heading = "Global Options")]
    pub(crate) debug: bool,
}

/// Every command, in the order of the help.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    Run(Box<run::Args>),
    Exec(Box<container::exec::Args>),
    Ps(container::ps::Args),
    Build(Box<build::Args>),
    Pull(pull::Args),
    Push(push::Args),
    Images(images::Args),
    Login(login::Args),
    Logout(logout::Args),
    Search(search::Args),
    Version(version::Args),
    Info(info::Args),
    Doctor(doctor::Args),
    Events(events::Args),
    #[command(subcommand)]
    Builder(BuilderCommand),
    #[command(subcommand)]
    Container(ContainerCommand),
    #[command(subcommand)]
    Image(ImageCommand),
    #[command(subcommand)]
    Manifest(ManifestCommand),
    #[command(subcommand)]
    Ci(CiCommand),
    #[command(subcommand)]
    Store(StoreCommand),
    #[command(subcommand)]
    System(SystemCommand),
    #[command(subcommand)]
    Network(NetworkCommand),
    #[command(subcommand)]
    Volume(VolumeCommand),
    Attach(container::attach::Args),
    Commit(container::commit::Args),
    Cp(container::cp::Args),
    Create(Box<container::create::Args>),
    Daemon(daemon::Args),
    Diff(container::diff::Args),
    Export(container::export::Args),
    Fmt(fmt::Args),
    #[command(subcommand)]
    Generate(GenerateCommand),
    Graph(graph::Args),
    History(history::Args),
    Import(import::Args),
    Inspect(inspect::Args),
    Kill(container::kill::Args),
    Load(load::Args),
    Logs(container::logs::Args),
    Pause(container::pause::Args),
    Port(container::port::Args),
    Rename(container::rename::Args),
    Restart(container::restart::Args),
    Rm(container::rm::Args),
    Rmi(rmi::Args),
    Save(save::Args),
    Start(container::start::Args),
    Stats(container::stats::Args),
    Stop(container::stop::Args),
    Tag(tag::Args),
    Top(container::top::Args),
    Unpause(container::unpause::Args),
    Update(container::update::Args),
    Wait(container::wait::Args),
    Why(why::Args),
}

/// Manage builds
#[derive(Debug, Subcommand)]
#[command(override_usage = "slipway builder COMMAND", help_template = HELP, arg_required_else_help = true, subcommand_value_name = "COMMAND")]
pub(crate) enum BuilderCommand {
    Build(Box<build::Args>),
    Gc(builder_gc::Args),
    Logs(builder_logs::Args),
    Prune(builder_prune::Args),
}

/// Manage containers
#[derive(Debug, Subcommand)]
#[command(override_usage = "slipway container COMMAND", help_template = HELP, arg_required_else_help = true, subcommand_value_name = "COMMAND")]
pub(crate) enum ContainerCommand {
    Attach(container::attach::Args),
    Commit(container::commit::Args),
    Cp(container::cp::Args),
    Create(Box<container::create::Args>),
    Diff(container::diff::Args),
    Exec(Box<container::exec::Args>),
    Export(container::export::Args),
    Inspect(inspect::Args),
    Kill(container::kill::Args),
    Logs(container::logs::Args),
    #[command(visible_aliases = ["list", "ps"])]
    Ls(container::ps::Args),
    Pause(container::pause::Args),
    Port(container::port::Args),
    Prune(container::prune::Args),
    Rename(container::rename::Args),
    Restart(container::restart::Args),
    #[command(visible_alias = "remove")]
    Rm(container::rm::Args),
    Run(Box<run::Args>),
    Start(container::start::Args),
    Stats(container::stats::Args),
    Stop(container::stop::Args),
    Top(container::top::Args),
    Unpause(container::unpause::Args),
    Update(container::update::Args),
    Wait(container::wait::Args),
}

/// Write files for other programs
#[derive(Debug, Subcommand)]
#[command(override_usage = "slipway generate COMMAND", help_template = HELP, arg_required_else_help = true, subcommand_value_name = "COMMAND")]
pub(crate) enum GenerateCommand {
    Systemd(container::systemd::Args),
}

/// Build in CI systems
#[derive(Debug, Subcommand)]
#[command(override_usage = "slipway ci COMMAND", help_template = HELP, arg_required_else_help = true, subcommand_value_name = "COMMAND")]
pub(crate) enum CiCommand {
    Init(ci_init::Args),
}

/// Manage the store
#[derive(Debug, Subcommand)]
#[command(override_usage = "slipway store COMMAND", help_template = HELP, arg_required_else_help = true, subcommand_value_name = "COMMAND")]
pub(crate) enum StoreCommand {
    Check(store_check::Args),
}

/// Manage Slipway
#[derive(Debug, Subcommand)]
#[command(override_usage = "slipway system COMMAND", help_template = HELP, arg_required_else_help = true, subcommand_value_name = "COMMAND")]
pub(crate) enum SystemCommand {
    Df(df::Args),
    Events(events::Args),
    Prune(system_prune::Args),
}

/// Manage images
#[derive(Debug, Subcommand)]
#[command(override_usage = "slipway image COMMAND", help_template = HELP, arg_required_else_help = true, subcommand_value_name = "COMMAND")]
pub(crate) enum ImageCommand {
    Build(Box<build::Args>),
    #[command(visible_alias = "copy")]
    Cp(Box<image_copy::Args>),
    Explore(explore::Args),
    History(history::Args),
    Import(import::Args),
    Inspect(inspect::Args),
    Load(load::Args),
    #[command(visible_alias = "list")]
    Ls(images::Args),
    Prune(image_prune::Args),
    Pull(pull::Args),
    Push(push::Args),
    #[command(visible_alias = "remove")]
    Rm(rmi::Args),
    Save(save::Args),
    Tag(tag::Args),
}

/// Prints what the parser has to say: help, the version, or a mistake.
pub(crate) fn print(error: &clap::Error) -> Exit {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        return crate::console::print(&error.render().to_string()).unwrap_or(Exit::Failure);
    }
    // Nobody is left who could be told that standard error is closed.
    let _ = error.print();
    let command = std::env::args_os().skip(1).find(|word| !word.as_encoded_bytes().starts_with(b"-"));
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Exit::Success,
        _ if command.is_some_and(|word| word == "run") => Exit::NotStarted,
        _ => Exit::Failure,
    }
}
