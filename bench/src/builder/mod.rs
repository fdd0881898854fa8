//! The builders that are measured, and what runs containers, each with a state of its own below one directory.

mod buildah;
mod buildkit;
mod daemon;
mod docker;
mod podman;
mod slipway;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;

/// Something that builds images from Dockerfiles.
///
/// An implementation keeps its state below the directory that it was given. It has the base image in its
/// store when it is made, and leaves neither processes nor mounts when it is dropped.
pub(crate) trait Builder {
    /// Name and version.
    fn title(&self) -> &str;

    /// The command that builds the Dockerfile in `context` to an image in the builder's own store, which may have a name.
    fn build(&self, context: &Path, name: Option<&str>) -> Command;

    /// The command that runs `true` in a new container of the base image; `None` for a builder that runs no containers, or none
    /// in such a network.
    fn run(&self, _network: Network) -> Option<Command> {
        None
    }
}

/// The network of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Network {
    Host,
    /// One of its own, with a way out.
    Own,
}

/// Something that runs containers, with the commands of `docker`.
///
/// As a [`Builder`] it has the base image when it is made, and leaves nothing when it is dropped.
pub(crate) trait Runner: Sync {
    /// Name and version.
    fn title(&self) -> &str;

    /// The command, without arguments.
    fn command(&self) -> Command;
}

/// A builder that is not on this machine, or does not work here.
pub(crate) struct Absent {
    pub(crate) name: &'static str,
    pub(crate) why: String,
}

/// What all builders are made from.
pub(crate) struct Setup {
    /// The `slipway` to measure.
    pub(crate) slipway: PathBuf,
    /// The base image as a tar of its root file system.
    pub(crate) base_tar: PathBuf,
    /// An empty directory for states.
    pub(crate) directory: PathBuf,
}

/// The builder that all others are compared with: ours.
///
/// # Errors
///
/// When it cannot import the base image.
pub(crate) fn ours(setup: &Setup) -> Result<Box<dyn Builder>, Error> {
    Ok(Box::new(slipway::start(setup)?))
}

/// The same, for what it runs.
///
/// # Errors
///
/// When it cannot import the base image.
pub(crate) fn our_runner(setup: &Setup) -> Result<Box<dyn Runner>, Error> {
    Ok(Box::new(slipway::start(setup)?))
}

/// What else runs containers on this machine, and why the rest is not there.
pub(crate) fn other_runners(setup: &Setup) -> (Vec<Box<dyn Runner>>, Vec<Absent>) {
    const RUNNERS: [Start<Box<dyn Runner>>; 2] = [
        ("podman", |setup| Ok(Box::new(podman::start(setup)?))),
        ("docker", |setup| Ok(Box::new(docker::start(setup)?))),
    ];
    start_all(&RUNNERS, setup)
}

/// The other builders of this machine, and why the rest is not there.
pub(crate) fn peers(setup: &Setup) -> (Vec<Box<dyn Builder>>, Vec<Absent>) {
    const PEERS: [Start<Box<dyn Builder>>; 3] = [
        ("buildah", buildah::start),
        ("docker", |setup| Ok(Box::new(docker::start(setup)?))),
        ("buildkit", buildkit::start),
    ];
    start_all(&PEERS, setup)
}

/// The name of something, and how it is started.
type Start<T> = (&'static str, fn(&Setup) -> Result<T, Error>);

/// Starts what can be started.
fn start_all<T>(all: &[Start<T>], setup: &Setup) -> (Vec<T>, Vec<Absent>) {
    let mut present = Vec::new();
    let mut absent = Vec::new();
    for (name, start) in all {
        match start(setup) {
            Ok(one) => present.push(one),
            Err(error) => absent.push(Absent { name, why: reason(&error) }),
        }
    }
    (present, absent)
}

/// An error with its causes on one line.
fn reason(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text.trim().replace('\n', " ")
}
