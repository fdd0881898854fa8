//! buildah, with runc: a builder without a daemon, as ours.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Builder, Setup};
use crate::base;
use crate::error::Error;
use crate::process;

pub(super) struct Buildah {
    title: String,
    binary: PathBuf,
    state: PathBuf,
}

pub(super) fn start(setup: &Setup) -> Result<Box<dyn Builder>, Error> {
    Ok(Box::new(Buildah::with_base(setup, &setup.directory.join("buildah"))?))
}

impl Buildah {
    /// A buildah whose store holds the base image.
    pub(super) fn with_base(setup: &Setup, state: &Path) -> Result<Self, Error> {
        let binary = process::find("buildah").ok_or(Error::Missing { program: "buildah" })?;
        process::find("runc").ok_or(Error::Missing { program: "runc" })?;
        let version = process::run(Command::new(&binary).arg("--version"))?;
        // `buildah version 1.28.2 (image-spec ...)`
        let number = version.split_whitespace().nth(2).unwrap_or_default();
        let title = format!("buildah {number}");
        let buildah = Self { title, binary, state: state.to_owned() };

        let container = process::run(buildah.command().args(["from", "scratch"]))?;
        process::run(buildah.command().args(["add", "--quiet", &container]).arg(&setup.base_tar).arg("/"))?;
        process::run(buildah.command().args(["commit", "--quiet", "--rm", &container, base::NAME]))?;
        Ok(buildah)
    }

    pub(super) fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--root").arg(self.state.join("storage"));
        command.arg("--runroot").arg(self.state.join("run")).args(["--storage-driver", "overlay"]);
        command
    }
}

impl Builder for Buildah {
    fn title(&self) -> &str {
        &self.title
    }

    fn build(&self, context: &Path, name: Option<&str>) -> Command {
        let mut command = self.command();
        // Without `--layers` nothing is cached; without `--jobs` stages run one after another.
        command.args(["build", "--layers", "--jobs", "0", "--pull-never"]);
        command.args(["--runtime", "runc", "--isolation", "oci"]);
        command.args(name.map(|name| format!("--tag={name}"))).arg(context);
        command
    }
}
