//! Starts a container: says what its sandbox is, and hands that to a monitor.

use std::fs;

use cache::LayerId;
use executor::{Mount, Rootfs, SandboxError, Spec, WindowSize};

use super::ask;
use super::config::Config;
use super::create::Creation;
use super::error::ContainerError;
use super::home::{self, Home};
use super::session::{self, Session};
use super::sharing::Queues;
use super::wire::{Refusal, Reply, Request, Streams};
use crate::Engine;
use crate::run::{files, rootfs};
use crate::volumes;

/// Says that `fs` has everything: its layers were copied there, since this kernel does not stack them.
pub(super) const COPIED: &str = "copied";

impl Engine {
    /// Starts a container and connects with its streams; only connects if it runs. Returns when the program was executed.
    ///
    /// # Errors
    ///
    /// That there is no such container, or its command cannot be executed. One that is to be removed when it ends is
    /// then removed.
    pub fn start_container(
        &self,
        name: &str,
        streams: Streams,
        size: WindowSize,
        creation: Option<Creation>,
    ) -> Result<Session, ContainerError> {
        let home = self.home(name)?;
        let config = home.config()?;
        let network = config.settings.network_alone();
        let has_no_network = network != graph::Network::Default && !config.settings.networks.is_shared();
        if has_no_network && !config.settings.networks.ports.is_empty() {
            tracing::warn!("published ports are discarded: the container has no network of its own");
        }
        let mut monitor = creation.and_then(|creation| creation.monitor);
        if streams.output {
            self.tell(&config, "attach");
        }
        loop {
            let mounts = self.mounts(&config)?;
            let spec = self.specification(&home, &config)?;
            let spec = Box::new(Spec { mounts, ..spec });
            let request = Request::Start { spec, size, streams };
            let asked = ask::ask_to_start(&home, monitor.take(), network, &request);
            self.founder.done();
            let (session, reply) = asked?;
            match reply {
                Reply::Started { sees_all } => {
                    if sees_all {
                        crate::run::stacking::tell_processes();
                    }
                    return Ok(session);
                }
                Reply::Failed(SandboxError::NoOverlay { call, source }) if !self.store.copies_layers() => {
                    self.store.copy_layers_from_now_on(&format!("{call}: {source}"));
                }
                reply => return Err(refusal(&config, reply, ContainerError::Sandbox)),
            }
        }
    }

    /// What is mounted beside devices. Nobody removes its volumes while the container is there, so nothing else has to hold
    /// them.
    pub(super) fn volume_mounts(&self, config: &Config) -> Result<Vec<Mount>, ContainerError> {
        let (layers, volumes) = (layers(config), Vec::new());
        // All volumes have names by now.
        let image = volumes::Image { layers: &layers, volumes, announce: &|_| {} };
        Ok(volumes::plan(self, &config.mounts, &image)?.mounts)
    }

    /// What is mounted.
    fn mounts(&self, config: &Config) -> Result<Vec<Mount>, ContainerError> {
        let mut mounts = self.volume_mounts(config)?;
        for device in &config.settings.devices {
            mounts.extend(device.mounts()?);
        }
        Ok(mounts)
    }

    /// Everything but the network and what is mounted, which the monitor makes.
    fn specification(&self, home: &Home, config: &Config) -> Result<Spec, ContainerError> {
        let settings = &config.settings;
        let spec = Spec {
            env: config.env.clone(),
            cwd: if config.working_dir.is_empty() { "/".to_owned() } else { config.working_dir.clone() },
            makes_cwd: true,
            user: config.user.clone(),
            groups: settings.groups.clone(),
            shm_size_bytes: settings.surroundings.shm_size_bytes.unwrap_or(executor::SHM_SIZE_BYTES_DEFAULT),
            rlimits: files::rlimits(&settings.surroundings),
            resources: settings.resources.clone(),
            hostname: config.hostname.clone(),
            sharing: settings.sharing.of_sandbox(),
            has_init: settings.sharing.has_init.unwrap_or(false),
            has_shared_memory: settings.sharing.queues != Queues::WithoutMemory,
            ..Spec::new(self.rootfs(home, config)?, config.argv())
        };
        Ok(settings.privileges.apply(spec)?)
    }

    fn rootfs(&self, home: &Home, config: &Config) -> Result<Rootfs, ContainerError> {
        let upper = home.upper();
        let marker = home.path.join(COPIED);
        if marker.exists() {
            return Ok(Rootfs::Directory(upper));
        }
        let lowers = rootfs::lowers(&self.store, &layers(config))?;
        if self.store.copies_layers() {
            self.store.copy_layers_to(&lowers, &upper)?;
            fs::write(&marker, "").map_err(|source| home::file(&marker, source))?;
            return Ok(Rootfs::Directory(upper));
        }
        // What is thrown away in the end need not reach the disk before.
        let volatile = config.settings.auto_remove;
        Ok(Rootfs::Overlay { lowers, upper, work: home.path.join("work"), volatile })
    }
}

/// The layers of the image, lowest first.
pub(super) fn layers(config: &Config) -> Vec<LayerId> {
    config.layers.iter().filter_map(|layer| layer.parse().ok()).collect()
}

/// What it means that a monitor did not do what was asked for.
pub(super) fn refusal(
    config: &Config,
    reply: Reply,
    sandbox: impl FnOnce(SandboxError) -> ContainerError,
) -> ContainerError {
    let id = config.id.clone();
    let wrong =
        |problem: &str| ContainerError::WrongState { id: config.id.clone(), problem: problem.to_owned() };
    match reply {
        Reply::Failed(error) => sandbox(error),
        Reply::Network { message, fault } => ContainerError::Network { message, fault },
        Reply::NoHostGateway(outlet) => crate::network::NoHostGateway::of(&outlet).into(),
        Reply::Refused(Refusal::NotRunning) => ContainerError::NotRunning { id },
        Reply::Refused(Refusal::Paused) => ContainerError::Paused { id },
        Reply::Refused(Refusal::NotPaused) => wrong("is not paused"),
        Reply::Refused(Refusal::Running) => wrong("is running"),
        Reply::Refused(Refusal::Busy) => wrong("has a monitor already"),
        Reply::Problem(problem) => session::monitor_error(&config.id, &format!("says: {problem}")),
        Reply::Sharing(problem) => ContainerError::Sharing { problem },
        Reply::Done | Reply::Started { .. } | Reply::Exited(_) | Reply::Members(_) | Reply::Neighbour(_) => {
            session::monitor_error(&config.id, "answers another question")
        }
    }
}
