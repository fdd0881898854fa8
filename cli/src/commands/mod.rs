//! One file for each command.

pub(crate) mod build;
pub(crate) mod builder_gc;
pub(crate) mod builder_logs;
pub(crate) mod builder_prune;
pub(crate) mod ci_init;
pub(crate) mod container;
pub(crate) mod csv;
pub(crate) mod daemon;
pub(crate) mod df;
pub(crate) mod doctor;
pub(crate) mod events;
pub(crate) mod explore;
pub(crate) mod fmt;
#[cfg(feature = "generate")]
pub(crate) mod generate;
pub(crate) mod graph;
pub(crate) mod history;
pub(crate) mod image_copy;
pub(crate) mod image_prune;
pub(crate) mod images;
pub(crate) mod import;
pub(crate) mod info;
pub(crate) mod inspect;
mod limits;
pub(crate) mod load;
pub(crate) mod login;
pub(crate) mod logout;
pub(crate) mod manifest;
pub(crate) mod network;
mod pairs;
mod prune;
pub(crate) mod pull;
mod pull_policy;
pub(crate) mod push;
pub(crate) mod rmi;
pub(crate) mod run;
pub(crate) mod save;
pub(crate) mod search;
pub(crate) mod store_check;
mod surroundings;
pub(crate) mod system_prune;
pub(crate) mod tag;
mod target_platform;
pub(crate) mod version;
pub(crate) mod volume;
pub(crate) mod why;

use crate::arguments::{
    Arguments, BuilderCommand, CiCommand, Command, ContainerCommand, GenerateCommand, Global, ImageCommand,
    StoreCommand, SystemCommand,
};
use crate::report::{Exit, Report};

/// Creation times and file times later than this become this.
const EPOCH_NAME: &str = "SOURCE_DATE_EPOCH";

/// What `--format` of a list understands.
pub(crate) const LIST_FORMAT_HELP: &str = "\
Format output using a custom template:
'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template";

/// What `--format` of a single thing understands.
pub(crate) const FORMAT_HELP: &str = "\
Format output using a custom template:
'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template";

/// The layout of Docker's help.
pub(crate) const HELP: &str = "Usage:  {usage}\n\n{about}\n\n{all-args}{after-help}";

/// The same for a command with aliases, which are the text before the help.
pub(crate) const HELP_WITH_ALIASES: &str = "Usage:  {usage}\n\n{about}\n{before-help}{all-args}{after-help}";

/// Runs the command that was asked for.
pub(crate) fn run(arguments: Arguments) -> Result<Exit, Report> {
    let Arguments { global, command } = arguments;
    match command {
        Command::Run(args) => run::run(*args, &global),
        Command::Exec(args) => container::exec::run(*args, &global),
        Command::Ps(args) => container::ps::run(&args, &global),
        Command::Container(command) => run_container(command, &global),
        Command::Commit(args) => container::commit::run(args, &global),
        Command::Cp(args) => container::cp::run(&args, &global),
        Command::Diff(args) => container::diff::run(&args, &global),
        Command::Export(args) => container::export::run(&args, &global),
        Command::Generate(GenerateCommand::Systemd(args)) => container::systemd::run(&args, &global),
        Command::Update(args) => container::update::run(args, &global),
        Command::Attach(args) => container::attach::run(&args, &global),
        Command::Create(args) => container::create::run(*args, &global),
        Command::Kill(args) => container::kill::run(&args, &global),
        Command::Logs(args) => container::logs::run(&args, &global),
        Command::Port(args) => container::port::run(&args, &global),
        Command::Pause(args) => container::pause::run(&args, &global),
        Command::Rename(args) => container::rename::run(&args, &global),
        Command::Restart(args) => container::restart::run(&args, &global),
        Command::Rm(args) => container::rm::run(&args, &global),
        Command::Start(args) => container::start::run(&args, &global),
        Command::Stats(args) => container::stats::run(&args, &global),
        Command::Stop(args) => container::stop::run(&args, &global),
        Command::Top(args) => container::top::run(&args, &global),
        Command::Unpause(args) => container::unpause::run(&args, &global),
        Command::Wait(args) => container::wait::run(&args, &global),
        Command::Build(args) | Command::Builder(BuilderCommand::Build(args)) => build::run(*args, &global),
        Command::Builder(BuilderCommand::Gc(args)) => builder_gc::run(&args, &global),
        Command::Builder(BuilderCommand::Logs(args)) => builder_logs::run(&args, &global),
        Command::Builder(BuilderCommand::Prune(args)) => builder_prune::run(&args, &global),
        Command::Ci(CiCommand::Init(args)) => ci_init::run(&args),
        Command::Store(StoreCommand::Check(args)) => store_check::run(&args, &global),
        Command::System(SystemCommand::Df(args)) => df::run(&args, &global),
        Command::System(SystemCommand::Prune(args)) => system_prune::run(&args, &global),
        Command::Images(args) => images::run(&args, &global),
        Command::Daemon(args) => daemon::run(args, &global),
        Command::Version(args) => version::run(&args),
        Command::Info(args) => info::run(&args, &global),
        Command::Doctor(args) => doctor::run(&args, &global),
        Command::Events(args) | Command::System(SystemCommand::Events(args)) => events::run(&args, &global),
        Command::Image(command) => run_image(command, &global),
        Command::Fmt(args) => fmt::run(&args),
        Command::Graph(args) => graph::run(args, &global),
        Command::History(args) => history::run(&args, &global),
        Command::Import(args) => import::run(args, &global),
        Command::Inspect(args) => inspect::run(&args, None, &global),
        Command::Load(args) => load::run(&args, &global),
        Command::Login(args) => login::run(args),
        Command::Logout(args) => logout::run(args),
        Command::Manifest(command) => manifest::run(command, &global),
        Command::Pull(args) => pull::run(args, &global),
        Command::Push(args) => push::run(args, &global),
        Command::Search(args) => search::run(args),
        Command::Rmi(args) => rmi::run(&args, &global),
        Command::Save(args) => save::run(&args, &global),
        Command::Tag(args) => tag::run(&args, &global),
        Command::Network(command) => network::run(command, &global),
        Command::Volume(command) => volume::run(command, &global),
        Command::Why(args) => why::run(&args, &global),
    }
}

fn run_container(command: ContainerCommand, global: &Global) -> Result<Exit, Report> {
    match command {
        ContainerCommand::Commit(args) => container::commit::run(args, global),
        ContainerCommand::Cp(args) => container::cp::run(&args, global),
        ContainerCommand::Diff(args) => container::diff::run(&args, global),
        ContainerCommand::Export(args) => container::export::run(&args, global),
        ContainerCommand::Update(args) => container::update::run(args, global),
        ContainerCommand::Attach(args) => container::attach::run(&args, global),
        ContainerCommand::Create(args) => container::create::run(*args, global),
        ContainerCommand::Exec(args) => container::exec::run(*args, global),
        ContainerCommand::Inspect(args) => inspect::run(&args, Some(inspect::Kind::Container), global),
        ContainerCommand::Kill(args) => container::kill::run(&args, global),
        ContainerCommand::Logs(args) => container::logs::run(&args, global),
        ContainerCommand::Ls(args) => container::ps::run(&args, global),
        ContainerCommand::Port(args) => container::port::run(&args, global),
        ContainerCommand::Pause(args) => container::pause::run(&args, global),
        ContainerCommand::Prune(args) => container::prune::run(&args, global),
        ContainerCommand::Rename(args) => container::rename::run(&args, global),
        ContainerCommand::Restart(args) => container::restart::run(&args, global),
        ContainerCommand::Rm(args) => container::rm::run(&args, global),
        ContainerCommand::Run(args) => run::run(*args, global),
        ContainerCommand::Start(args) => container::start::run(&args, global),
        ContainerCommand::Stats(args) => container::stats::run(&args, global),
        ContainerCommand::Stop(args) => container::stop::run(&args, global),
        ContainerCommand::Top(args) => container::top::run(&args, global),
        ContainerCommand::Unpause(args) => container::unpause::run(&args, global),
        ContainerCommand::Wait(args) => container::wait::run(&args, global),
    }
}

fn run_image(command: ImageCommand, global: &Global) -> Result<Exit, Report> {
    match command {
        ImageCommand::Build(args) => build::run(*args, global),
        ImageCommand::Cp(args) => image_copy::run(*args, global),
        ImageCommand::Explore(args) => explore::run(&args, global),
        ImageCommand::History(args) => history::run(&args, global),
        ImageCommand::Import(args) => import::run(args, global),
        ImageCommand::Inspect(args) => inspect::run(&args, Some(inspect::Kind::Image), global),
        ImageCommand::Load(args) => load::run(&args, global),
        ImageCommand::Ls(args) => images::run(&args, global),
        ImageCommand::Pull(args) => pull::run(args, global),
        ImageCommand::Push(args) => push::run(args, global),
        ImageCommand::Prune(args) => image_prune::run(&args, global),
        ImageCommand::Rm(args) => rmi::run(&args, global),
        ImageCommand::Save(args) => save::run(&args, global),
        ImageCommand::Tag(args) => tag::run(&args, global),
    }
}

/// `SOURCE_DATE_EPOCH` of the environment, see <https://reproducible-builds.org/specs/source-date-epoch>.
pub(crate) fn source_date_epoch() -> Result<Option<i64>, Report> {
    match std::env::var(EPOCH_NAME) {
        Ok(text) => parse_epoch(&text),
        Err(_) => Ok(None),
    }
}

fn parse_epoch(text: &str) -> Result<Option<i64>, Report> {
    if text.is_empty() {
        return Ok(None);
    }
    let wrong = |_| Report::mistake(format!("invalid {EPOCH_NAME} `{text}`, expected seconds since 1970"));
    text.parse().map(Some).map_err(wrong)
}
