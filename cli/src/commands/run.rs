//! `slipway run`.

mod attach;
mod environment;
mod mounts;
mod networks;
mod obtain;
mod privileges;

use std::net::IpAddr;
use std::path::PathBuf;

use engine::{Console, Dns, RunRequest};
use image::Platform;

use super::pull_policy::PullArg;
use crate::arguments::Global;
use crate::console;
use crate::progress::{Layers, Stream};
use crate::registries::RegistryArgs;
use crate::report::{Exit, Report};
use crate::runtime::Interrupted;
use crate::store;

/// Create and run a new container from an image
#[derive(Debug, clap::Args)]
#[command(
    override_usage = "slipway run [OPTIONS] IMAGE [COMMAND] [ARG...]",
    help_template = super::HELP,
    disable_help_flag = true
)]
pub(crate) struct Args {
    /// Name or ID of the image, then the command and its arguments
    #[arg(
        value_name = "IMAGE",
        required = true,
        trailing_var_arg = true,
        allow_hyphen_values = true,
        hide = true
    )]
    words: Vec<String>,
    /// Set custom DNS servers
    #[arg(long, value_name = "IP")]
    dns: Vec<IpAddr>,
    /// Set DNS options
    #[arg(long, value_name = "OPTION")]
    dns_option: Vec<String>,
    /// Set custom DNS search domains ("." for none)
    #[arg(long, value_name = "DOMAIN")]
    dns_search: Vec<String>,
    /// Overwrite the default ENTRYPOINT of the image
    #[arg(long, value_name = "PROGRAM")]
    entrypoint: Option<String>,
    /// Set environment variables; NAME alone takes the value of the environment
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Read in a file of environment variables
    #[arg(long, value_name = "FILE")]
    env_file: Vec<PathBuf>,
    /// Print usage
    #[arg(long, action = clap::ArgAction::Help)]
    help: Option<bool>,
    /// Container host name
    #[arg(short = 'h', long, value_name = "NAME")]
    hostname: Option<String>,
    /// Keep STDIN open
    #[arg(short, long)]
    interactive: bool,
    /// Pull image before running ("always", "missing", "never")
    #[arg(long, value_name = "WHEN", default_value = "missing", hide_default_value = true)]
    pull: PullArg,
    /// Platform of the image to pull
    #[arg(long, value_name = "OS/ARCH")]
    platform: Option<Platform>,
    /// Suppress the pull output
    #[arg(short, long)]
    quiet: bool,
    #[command(flatten)]
    registry: RegistryArgs,
    /// Remove the container when it exits (here always: nothing of a container is kept)
    #[arg(long)]
    rm: bool,
    /// Allocate a pseudo-TTY
    #[arg(short, long)]
    tty: bool,
    /// Username or UID (format: <name|uid>[:<group|gid>])
    #[arg(short, long, value_name = "USER")]
    user: Option<String>,
    /// Working directory inside the container
    #[arg(short, long, value_name = "DIR")]
    workdir: Option<String>,
    #[command(flatten)]
    limits: super::limits::ContainerLimitArgs,
    #[command(flatten)]
    mounts: mounts::MountArgs,
    #[command(flatten)]
    networks: networks::NetworkArgs,
    #[command(flatten)]
    privileges: privileges::PrivilegeArgs,
    #[command(flatten)]
    surroundings: super::surroundings::SurroundingsArgs,
}

/// Runs a container in the foreground.
pub(crate) fn run(args: Args, global: &Global) -> Result<Exit, Report> {
    if args.tty && args.interactive && !console::stdin_is_terminal() {
        return Err(Report::new(Exit::NotStarted, "the input device is not a TTY"));
    }
    let keyboard =
        if args.tty && args.interactive { attach::Keyboard::Attached } else { attach::Keyboard::Ignored };
    let settings = args.registry.clone().settings().map_err(Report::of_run)?;
    let obtaining = obtain::Obtaining {
        policy: args.pull.into(),
        platform: args.platform.clone(),
        layers: if args.quiet { Layers::silent() } else { Layers::on(Stream::Stderr) },
        says: if args.quiet { obtain::Says::Nothing } else { obtain::Says::All },
    };
    let mut request = request(args).map_err(Report::of_run)?;
    let open = if request.networks.is_shared() { store::open_with_networks } else { store::open };
    let engine = open(global).map_err(Report::of_run)?.with_registries(settings);
    match obtain::obtain(&engine, &request.image, &obtaining).map_err(Report::of_run)? {
        Ok(()) => {}
        Err(Interrupted) => return Ok(Exit::Interrupted),
    }
    if let Some(platform) = &obtaining.platform {
        // Of several images of one name, the one that was asked for.
        let found = engine.find_image_for(&request.image, Some(platform));
        let id = found.map_err(Report::from).map_err(Report::of_run)?;
        if engine.find_image(&request.image).is_ok_and(|named| named != id) {
            request.image = id.to_string();
        }
    }
    attach::run(&engine, &request, keyboard)
}

fn request(args: Args) -> Result<RunRequest, Report> {
    let mut words = args.words.into_iter();
    let image = words.next().expect("the parser requires an image");
    if image.starts_with('-') {
        return Err(Report::mistake(format!("unknown flag: {image}")).hint("see 'slipway run --help'"));
    }
    let console = match (args.tty, args.interactive) {
        (true, _) => Console::Terminal(console::window_size()),
        (false, true) => Console::Interactive,
        (false, false) => Console::Output,
    };
    let (network, networks) = args.networks.settings()?;
    Ok(RunRequest {
        image,
        command: words.collect(),
        entrypoint: args.entrypoint,
        env: environment::read(&args.env_file, &args.env)?,
        working_dir: args.workdir,
        user: args.user,
        hostname: args.hostname,
        console,
        mounts: args.mounts.requests()?,
        network,
        networks,
        dns: Dns { servers: args.dns, search: args.dns_search, options: args.dns_option },
        surroundings: args.surroundings.into(),
        resources: args.limits.into(),
        privileges: args.privileges.try_into().map_err(Report::mistake)?,
    })
}
