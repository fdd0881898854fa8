//! Makes a container, which does not run yet.

use cache::LayerId;

use super::ask::NewMonitor;
use super::config::Config;
use super::error::ContainerError;
use super::home::{Home, Staged, now_unix_ns};
use super::settings::Settings;
use super::{Container, name, signal};
use crate::Engine;
use crate::volumes::{self, MountPlan, MountRequest, MountSource, VolumeSource};

/// How many names are tried before somebody has to choose one.
const NAMES_MAX: u32 = 100;

/// A container on its way, with a monitor that waits for it.
///
/// Worth having before the image is looked for: the monitor starts meanwhile, and so does its network. Dropped, both go.
#[derive(Debug)]
pub struct Creation {
    pub(super) monitor: Option<NewMonitor>,
}

impl Engine {
    /// Starts a monitor for a container that will be created and started at once.
    pub fn prepare_container(&self, network: graph::Network) -> Creation {
        let monitor = NewMonitor::start(self.root(), network);
        // Whoever starts the container says what is wrong.
        Creation {
            monitor: monitor.inspect_err(|error| tracing::debug!(%error, "no monitor in advance")).ok(),
        }
    }

    /// Makes a container of an image that is here. Without a name it gets one. With what was prepared for it, it is started at once.
    ///
    /// # Errors
    ///
    /// A name that is none or in use, an image that is not here, or with nothing to run. Nothing stays behind then.
    pub fn create_container(
        &self,
        settings: &Settings,
        wanted: Option<&str>,
        prepared: Option<&Creation>,
    ) -> Result<Container, ContainerError> {
        let wanted = wanted.map(|name| name.strip_prefix('/').unwrap_or(name));
        if let Some(name) = wanted.filter(|name| !name::is_name(name)) {
            return Err(ContainerError::InvalidName { name: name.to_owned() });
        }
        let image_id = self.find_image_for(&settings.image, settings.platform.as_ref())?;
        let stored = crate::images::stored(&self.store, &image_id)?;
        let image = crate::images::read_config(&self.store, &image_id)?;
        let id = name::new_id().map_err(random)?;
        let mut settings = settings.clone();
        settings.hostname = self.settle_sharing(&mut settings.sharing)?.or(settings.hostname);
        let mut config = Config {
            image_id: image_id.to_string(),
            layers: stored.layers.iter().map(ToString::to_string).collect(),
            created_unix_ns: now_unix_ns(),
            starts_at_once: prepared.is_some(),
            ..Config::of_image(id, settings, &image)
        };
        if config.argv().is_empty() {
            return Err(ContainerError::NoCommand { image: config.settings.image });
        }
        if signal::parse(&config.stop_signal).is_none() {
            return Err(ContainerError::InvalidSignal { text: config.stop_signal });
        }
        for request in &config.settings.networks.networks {
            self.network(&request.network)?;
        }
        let staged = Home::stage(self.root(), &config.id)?;
        // Its volumes stay from here on: as long as this lives, and then because the container is there.
        let mut mounts = self.plan_mounts(&mut config, &stored.layers, &staged)?;
        let made = publish(&staged, &mut config, wanted);
        if made.is_err() {
            mounts.discard(self);
        }
        made?;
        self.tell(&config, "create");
        Ok(Container { config, state: super::State::default() })
    }

    /// Makes the volumes of a container, and gives those without a name the one that they have now.
    fn plan_mounts(
        &self,
        config: &mut Config,
        layers: &[LayerId],
        staged: &Staged,
    ) -> Result<MountPlan, ContainerError> {
        let volumes = config.volumes.iter().map(String::as_str).collect();
        let requests = self.with_mounts_of_others(&config.settings)?;
        let announce = |name: &str| staged.note_volume(name);
        let image = volumes::Image { layers, volumes, announce: &announce };
        let plan = volumes::plan(self, &requests, &image)?;
        config.mounts = requests;
        for point in plan.points.iter().filter(|point| point.name.is_some()) {
            let target = point.destination.clone();
            if !config.mounts.iter().any(|request| request.target == target) {
                let source = MountSource::Volume(VolumeSource::default());
                config.mounts.push(MountRequest { target, read_only: false, source, mode: String::new() });
            }
            let request = config.mounts.iter_mut().find(|request| request.target == point.destination);
            if let Some(MountRequest { source: MountSource::Volume(volume), .. }) = request {
                volume.name.clone_from(&point.name);
            }
        }
        config.mount_points.clone_from(&plan.points);
        config.anonymous_volumes.clone_from(&plan.anonymous);
        Ok(plan)
    }

    /// What is to be mounted, with what other containers have. Those that are named later take the place of others, and
    /// what is asked for itself that of all.
    fn with_mounts_of_others(&self, settings: &Settings) -> Result<Vec<MountRequest>, ContainerError> {
        let mut requests: Vec<MountRequest> = Vec::new();
        let mut put = |request: MountRequest| {
            requests.retain(|other| other.target != request.target);
            requests.push(request);
        };
        for (name, read_only) in &settings.volumes_from {
            let mounts = self.container(name)?.config.mounts.into_iter();
            for mut request in mounts.filter(|request| !matches!(request.source, MountSource::Tmpfs { .. })) {
                request.read_only |= read_only;
                put(request);
            }
        }
        let own = &settings.mounts;
        requests.retain(|other| own.iter().all(|request| request.target != other.target));
        requests.extend(own.iter().cloned());
        Ok(requests)
    }
}

/// Makes the container visible, under the name that is wanted or another one.
fn publish(staged: &Staged, config: &mut Config, wanted: Option<&str>) -> Result<(), ContainerError> {
    if let Some(name) = wanted {
        config.name = name.to_owned();
        return staged.publish(config);
    }
    for attempt in 0..NAMES_MAX {
        config.name = name::new_name(attempt).map_err(random)?;
        match staged.publish(config) {
            Err(ContainerError::NameInUse { .. }) => {}
            made => return made,
        }
    }
    Err(ContainerError::NameInUse { name: config.name.clone(), id: "unknown".to_owned() })
}

/// There is no randomness to be had.
fn random(source: std::io::Error) -> ContainerError {
    super::home::file(std::path::Path::new("/dev/urandom"), source)
}
