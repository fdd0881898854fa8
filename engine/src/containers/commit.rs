//! Makes images and archives of what a container has become.

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, OwnedFd};

use image::{History, ImageConfig, ImageId, Reference, RunConfig, canonical_json};
use jiff::Timestamp;
use rustix::pipe::PipeFlags;

use super::config::Config;
use super::diff::{open_upper, require_layers, unreadable};
use super::error::ContainerError;
use super::home::{self, Home};
use crate::Engine;
use crate::images::{ImageError, check_target, publish, read_config, run_config_on, stored};

/// What an image of a container is to be.
#[derive(Debug, Clone, Default)]
pub struct CommitRequest {
    /// Its name.
    pub reference: Option<Reference>,
    /// Who made it.
    pub author: String,
    /// What there is to say about it.
    pub message: String,
    /// Dockerfile instructions that only change the config.
    pub changes: Vec<String>,
    /// Whether the container stands still meanwhile.
    pub pauses: bool,
}

impl Engine {
    /// Makes an image of a container: the layers of its image, and one more with what it has changed. Volumes are no part of
    /// it. The image is durable when this returns.
    ///
    /// # Errors
    ///
    /// That its own image is gone, and with it the config that the new one continues; a change that is none.
    pub fn commit_container(&self, name: &str, request: &CommitRequest) -> Result<ImageId, ContainerError> {
        let home = self.home(name)?;
        let config = home.config()?;
        require_layers(&home)?;
        if let Some(reference) = &request.reference {
            check_target(reference)?;
        }
        let id: ImageId = config.image_id.parse().map_err(|_| damaged(&config))?;
        // The layers below were made with it, and are told apart by that.
        let clamp_mtime = stored(&self.store, &id)?.clamp_mtime;
        let mut image = read_config(&self.store, &id)?;
        let base = ImageConfig { config: run_config(&config, &image.config), ..image.clone() };
        image.config = run_config_on(&request.changes, base)?;
        let is_paused = request.pauses && self.stands_still(&home)?;
        let layer = self.layer_of(&home);
        if is_paused {
            self.unpause_container(&home.id)?;
        }
        let (layer, diff_id) = layer?;
        let created = Some(Timestamp::now().to_string());
        image.created.clone_from(&created);
        image.author.clone_from(&request.author);
        image.rootfs.diff_ids.push(diff_id);
        image.history.push(History {
            created,
            author: request.author.clone(),
            created_by: config.argv().join(" "),
            comment: request.message.clone(),
            empty_layer: false,
        });
        let mut layers = Vec::new();
        for id in super::start::layers(&config) {
            layers.push(self.store.layer(&id)?.ok_or_else(|| damaged(&config))?);
        }
        layers.push(layer);
        let id = publish(&self.store, &canonical_json(&image), &image, &layers, clamp_mtime)?;
        if let Some(reference) = &request.reference {
            self.store.tag(reference, &id)?;
        }
        self.store.make_durable()?;
        let name = request.reference.as_ref().map(Reference::familiar).unwrap_or_default();
        super::tell::event(&config, "commit")
            .with("comment", &request.message)
            .with("imageID", &id)
            .with("imageRef", &name)
            .note(self.root());
        Ok(id)
    }

    /// Pauses a container. False for one that stands still by itself: it does not run, or somebody else has paused it.
    fn stands_still(&self, home: &Home) -> Result<bool, ContainerError> {
        match self.pause_container(&home.id) {
            Ok(()) => Ok(true),
            Err(ContainerError::NotRunning { .. } | ContainerError::WrongState { .. }) => Ok(false),
            Err(ContainerError::Freeze { source }) => {
                tracing::warn!("the container goes on while its files are read: {source}");
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// What a container has changed, as a layer of the store.
    fn layer_of(&self, home: &Home) -> Result<(cache::Layer, image::DiffId), ContainerError> {
        let upper = open_upper(home)?;
        let (reader, writer) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC)
            .map_err(|error| home::file(&home.upper(), error.into()))?;
        let (mut reader, mut writer) = (File::from(reader), File::from(writer));
        std::thread::scope(|scope| {
            let writing = scope.spawn(move || cache::layer::write_tar(upper.as_fd(), &mut writer, None));
            let layer = self.store.unpack_layer(&mut reader, None);
            // Whoever writes to a pipe that nobody reads any more is told so.
            drop(reader);
            let written = writing.join().expect("the thread that writes does not panic");
            let layer = layer.map_err(|source| ImageError::Import { source })?;
            written.map_err(|error| unreadable(home, error))?;
            Ok(layer)
        })
    }

    /// Writes all files of a container as a tar, without what is mounted.
    ///
    /// # Errors
    ///
    /// That there is no such container, or nobody reads the tar to its end.
    pub fn export_container(&self, name: &str, to: &mut dyn Write) -> Result<(), ContainerError> {
        let home = self.home(name)?;
        let config = home.config()?;
        self.tell(&config, "export");
        let written = if let Some(upper) = unstacked(&home)? {
            cache::layer::write_tar(upper.as_fd(), to, None)
        } else {
            let view = self.store.view_below(&super::start::layers(&config), &home.upper())?;
            cache::layer::write_tar(view.root(), to, None)
        };
        written.map_err(|error| unreadable(&home, error))
    }
}

/// All files of a container that were copied, since this kernel does not stack layers.
pub(super) fn unstacked(home: &Home) -> Result<Option<OwnedFd>, ContainerError> {
    let is_copy = home.path.join(super::start::COPIED).exists();
    is_copy.then(|| open_upper(home)).transpose()
}

fn damaged(config: &Config) -> ContainerError {
    ContainerError::Image(ImageError::NoSuchImage { name: config.image_id.clone() })
}

/// What a container of the image would run with to be this one.
fn run_config(config: &Config, image: &RunConfig) -> RunConfig {
    let some = |list: &[String]| (!list.is_empty()).then(|| list.to_vec());
    let is_own = |name: &str| name == "HOSTNAME" || name == "TERM";
    let env = config.env.iter().filter(|(name, _)| image.env_value(name).is_some() || !is_own(name));
    RunConfig {
        cmd: some(&config.command),
        entrypoint: some(&config.entrypoint),
        env: env.map(|(name, value)| format!("{name}={value}")).collect(),
        user: config.user.clone(),
        working_dir: config.working_dir.clone(),
        labels: config.labels.clone(),
        healthcheck: config.healthcheck.clone(),
        stop_signal: config.stop_signal.clone(),
        ..image.clone()
    }
}
