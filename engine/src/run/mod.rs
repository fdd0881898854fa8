//! Runs an image: one container in the foreground.
//!
//! The container's changes go into a layer of their own, which is thrown away when the process has ended.

pub(crate) mod cancel;
pub(crate) mod files;
mod privileges;
pub(crate) mod rootfs;
pub(crate) mod stacking;

use std::fs::File;
use std::io;
use std::os::fd::{AsFd as _, BorrowedFd};

use cache::{ActiveLayer, LayerId, StoreError};
use executor::{Child, Io, Outcome, SandboxError, Spec};
use image::ImageConfig;

use crate::Engine;
use crate::images::ImageError;
use crate::network::{Dns, NoHostGateway, prepare};
use crate::networks::{
    self, Connected, NetworkError, NetworkSettings, Owner, PublishedPort, SetUp, SetUpError,
};
use crate::sweep::Sweep;
use crate::volumes::{Image, MountError, MountPlan, MountRequest, plan};

use stacking::{Copies, StartError};

pub use privileges::{Grants, Privileges};

pub use executor::{Exit, Handle as RunHandle, Terminal, WindowSize};

/// `PATH` of a container whose image sets none, as in Docker.
const PATH_DEFAULT: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// `TERM` of a container with a terminal, as in Docker.
const TERM_DEFAULT: &str = "xterm";
/// Digits of a container id that people see.
const SHORT_ID_DIGITS: usize = 12;

/// A container to run.
#[derive(Debug, Clone, Default)]
pub struct RunRequest {
    /// Name or id of the image.
    pub image: String,
    /// Replaces the image's `CMD` unless empty.
    pub command: Vec<String>,
    /// Replaces the image's `ENTRYPOINT` and drops its `CMD`; empty text means no entrypoint at all.
    pub entrypoint: Option<String>,
    /// Added to the image's environment, in order.
    pub env: Vec<(String, String)>,
    /// Replaces the image's `WORKDIR`.
    pub working_dir: Option<String>,
    /// Replaces the image's `USER`.
    pub user: Option<String>,
    /// Replaces the host name, which is the container's id otherwise.
    pub hostname: Option<String>,
    /// Where input comes from and output goes.
    pub console: Console,
    /// `--network`.
    pub network: graph::Network,
    /// `--memory` and its like.
    pub resources: executor::Resources,
    /// `--dns` and its like.
    pub dns: Dns,
    /// `--add-host`, `--shm-size`, `--ulimit`.
    pub surroundings: graph::Surroundings,
    /// `--cap-add` and its like.
    pub privileges: Privileges,
    /// `--volume`, `--mount` and `--tmpfs`.
    pub mounts: Vec<MountRequest>,
    /// Networks that somebody made, and published ports.
    pub networks: NetworkSettings,
}

/// Where input comes from and output goes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Console {
    /// To the caller's standard output and error; nothing to read.
    #[default]
    Output,
    /// The caller's standard input as well.
    Interactive,
    /// A terminal of the container's own, whose other end the caller gets.
    Terminal(WindowSize),
}

/// Why a container did not run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// There is no such image, or its name is ambiguous.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// Neither the image nor the caller says what to run.
    #[error("no command specified: image `{image}` has neither CMD nor ENTRYPOINT")]
    NoCommand {
        /// The image.
        image: String,
    },
    /// Our own standard streams cannot be passed on.
    #[error("cannot pass the standard streams on to the container")]
    Console {
        /// The cause.
        source: io::Error,
    },
    /// The process could not be started.
    #[error("cannot start the container")]
    Sandbox(#[from] SandboxError),
    /// The network that was asked for has no way to the host.
    #[error(transparent)]
    HostGateway(#[from] NoHostGateway),
    /// Something that cannot be mounted.
    #[error(transparent)]
    Mount(#[from] MountError),
    /// A network that cannot be joined, or a port that cannot be published.
    #[error(transparent)]
    Network(#[from] NetworkError),
    /// The store cannot do its work.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<SetUpError> for RunError {
    fn from(error: SetUpError) -> Self {
        match error {
            SetUpError::Network(error) => error.into(),
            SetUpError::HostGateway(error) => error.into(),
        }
    }
}

impl From<StartError> for RunError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Sandbox(error) => error.into(),
            StartError::Store(error) => error.into(),
        }
    }
}

/// A container that runs. Dropping it kills the container.
pub struct Running {
    child: Child,
    /// Holds what the container changes; removed when dropped.
    layer: ActiveLayer,
    /// Its volumes stay while it runs.
    mounts: MountPlan,
    engine: Engine,
    /// Its networks and ports.
    connected: Connected,
    /// Layers that the kernel did not stack.
    _copies: Copies,
    /// Goes on while the container runs.
    _sweep: Sweep,
}

impl Running {
    /// A handle that signals and resizes from other threads.
    pub fn handle(&self) -> RunHandle {
        self.child.handle()
    }

    /// Ports of the host that lead to it.
    pub fn ports(&self) -> &[PublishedPort] {
        self.connected.ports()
    }

    /// The other end of the container's terminal, once; none without one.
    pub fn take_terminal(&mut self) -> Option<Terminal> {
        self.child.take_terminal()
    }

    /// Waits until the process has ended, then throws its changes away, and its anonymous volumes.
    pub fn wait(self) -> Result<Exit, RunError> {
        let Self { child, layer, mut mounts, engine, connected: _connected, _copies, _sweep } = self;
        let ended = child.wait();
        drop(layer);
        mounts.discard(&engine);
        let Outcome { exit, account, .. } = ended?;
        if let Some(killed) = account.and_then(|account| account.memory_kill()) {
            tracing::warn!("{killed}");
        }
        Ok(exit)
    }
}

impl Engine {
    /// Starts a container.
    pub fn start(&self, request: &RunRequest) -> Result<Running, RunError> {
        if request.networks.networks.is_empty() {
            prepare(request.network);
        }
        let id = crate::images::find(&self.store, &request.image)?;
        let stored = crate::images::stored(&self.store, &id)?;
        let config = crate::images::read_config(&self.store, &id)?;
        let layer = self.store.begin_layer()?;
        let volumes = config.config.volumes.keys().map(String::as_str).collect();
        let mut mounts = plan(self, &request.mounts, &Image { layers: &stored.layers, volumes })?;
        let started = self.start_on(request, &config, &stored.layers, &layer, &mounts);
        if started.is_err() {
            mounts.discard(self);
        }
        let (child, copies, connected) = started?;
        let sweep = Sweep::default();
        sweep.begin(&self.store);
        Ok(Running { child, layer, mounts, engine: self.clone(), connected, _copies: copies, _sweep: sweep })
    }

    fn start_on(
        &self,
        request: &RunRequest,
        config: &ImageConfig,
        layers: &[LayerId],
        layer: &ActiveLayer,
        mounts: &MountPlan,
    ) -> Result<(Child, Copies, Connected), RunError> {
        let id = layer.id().to_string();
        let short: String = id.chars().take(SHORT_ID_DIGITS).collect();
        let owner = Owner {
            id: &id,
            name: None,
            hostname: request.hostname.as_deref().unwrap_or(&short),
            dns: &request.dns,
            extra_hosts: &request.surroundings.extra_hosts,
            exposed_by_image: config.config.exposed_ports.keys().map(String::as_str).collect(),
        };
        let network = networks::set_up(self.root(), &request.networks, request.network, &owner);
        self.founder.done();
        let network = network?;
        let spec = self.specification(request, config, layers, layer, &network, owner.hostname)?;
        let spec = Spec { mounts: mounts.mounts.clone(), ..spec };
        let io = || {
            Ok::<_, RunError>(match request.console {
                Console::Output => output_only()?,
                Console::Interactive => Io::Inherit,
                Console::Terminal(size) => Io::Terminal { size },
            })
        };
        let (mut child, copies) = stacking::start_in(&self.store, &spec, layer, io, network.attachment())?;
        if network.is_shared() {
            child.keep_network_apart();
        }
        let connected = network.connect(child.network_namespace())?;
        Ok((child, copies, connected))
    }

    fn specification(
        &self,
        request: &RunRequest,
        config: &ImageConfig,
        layers: &[LayerId],
        layer: &ActiveLayer,
        network: &SetUp,
        hostname: &str,
    ) -> Result<Spec, RunError> {
        let argv = argv(request, config);
        if argv.is_empty() {
            return Err(RunError::NoCommand { image: request.image.clone() });
        }
        let rootfs = rootfs::rootfs(&self.store, layers, layer)?;
        let defaults = &config.config;
        let working_dir = request.working_dir.as_ref().unwrap_or(&defaults.working_dir);
        let spec = Spec {
            env: environment(request, config, hostname),
            cwd: if working_dir.is_empty() { "/".to_owned() } else { working_dir.clone() },
            user: request.user.as_ref().unwrap_or(&defaults.user).clone(),
            hosts: network.hosts.clone(),
            resolv_conf: network.resolv_conf.clone(),
            network: network.network,
            shm_size_bytes: request.surroundings.shm_size_bytes.unwrap_or(executor::SHM_SIZE_BYTES_DEFAULT),
            rlimits: files::rlimits(&request.surroundings),
            resources: request.resources.clone(),
            hostname: hostname.to_owned(),
            ..Spec::new(rootfs, argv)
        };
        Ok(request.privileges.apply(spec))
    }
}

/// Our standard output and error, and nothing to read.
fn output_only() -> Result<Io, RunError> {
    let clone = |fd: BorrowedFd<'_>| fd.try_clone_to_owned();
    let files = || {
        let stdin = File::open("/dev/null")?.into();
        let (stdout, stderr) = (clone(io::stdout().as_fd())?, clone(io::stderr().as_fd())?);
        Ok(Io::Files { stdin, stdout, stderr })
    };
    files().map_err(|source| RunError::Console { source })
}

/// The entrypoint followed by the command, each from the caller or from the image.
fn argv(request: &RunRequest, config: &ImageConfig) -> Vec<String> {
    let image_command = config.config.cmd.clone().unwrap_or_default();
    let (entrypoint, command) = match &request.entrypoint {
        Some(entrypoint) if entrypoint.is_empty() => (Vec::new(), Vec::new()),
        Some(entrypoint) => (vec![entrypoint.clone()], Vec::new()),
        None => (config.config.entrypoint.clone().unwrap_or_default(), image_command),
    };
    let command = if request.command.is_empty() { command } else { request.command.clone() };
    entrypoint.into_iter().chain(command).collect()
}

/// Docker's order: `PATH`, `HOSTNAME` and `TERM`, then the image's, then the caller's.
fn environment(request: &RunRequest, config: &ImageConfig, hostname: &str) -> Vec<(String, String)> {
    let mut env =
        vec![("PATH".to_owned(), PATH_DEFAULT.to_owned()), ("HOSTNAME".to_owned(), hostname.to_owned())];
    if matches!(request.console, Console::Terminal(_)) {
        env.push(("TERM".to_owned(), TERM_DEFAULT.to_owned()));
    }
    let pairs = config.config.env.iter().filter_map(|pair| pair.split_once('='));
    let pairs = pairs.map(|(name, value)| (name.to_owned(), value.to_owned()));
    for (name, value) in pairs.chain(request.env.iter().cloned()) {
        match env.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 = value,
            None => env.push((name, value)),
        }
    }
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> ImageConfig {
        let mut config = ImageConfig::empty(&crate::default_platform());
        config.config.entrypoint = Some(vec!["/entry".into()]);
        config.config.cmd = Some(vec!["default".into()]);
        config.config.env = vec!["PATH=/opt".into(), "A=1".into()];
        config
    }

    #[test]
    fn entrypoint_and_command_replace_each_other_as_in_docker() {
        let argv_of = |entrypoint: Option<&str>, command: &[&str]| {
            let request = RunRequest {
                entrypoint: entrypoint.map(str::to_owned),
                command: command.iter().map(ToString::to_string).collect(),
                ..RunRequest::default()
            };
            argv(&request, &config()).join(" ")
        };
        assert_eq!(argv_of(None, &[]), "/entry default");
        assert_eq!(argv_of(None, &["x"]), "/entry x");
        assert_eq!(argv_of(Some("/other"), &[]), "/other");
        assert_eq!(argv_of(Some("/other"), &["x"]), "/other x");
        assert_eq!(argv_of(Some(""), &["x"]), "x");
        assert_eq!(argv_of(Some(""), &[]), "");
    }

    #[test]
    fn the_caller_wins_over_the_image_over_the_defaults() {
        let request = RunRequest { env: vec![("A".into(), "2".into())], ..RunRequest::default() };
        let env = environment(&request, &config(), "h");
        let text: Vec<String> = env.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(text, ["PATH=/opt", "HOSTNAME=h", "A=2"]);
    }
}
