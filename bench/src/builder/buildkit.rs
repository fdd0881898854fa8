//! buildctl with buildkitd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

use super::buildah::Buildah;
use super::daemon::{Daemon, Places};
use super::{Builder, Setup};
use crate::base;
use crate::error::Error;
use crate::process;

struct Buildkit {
    title: String,
    client: PathBuf,
    address: String,
    /// The base image as an OCI layout; buildkitd has no store into which one could import.
    base_layout: PathBuf,
    base_digest: String,
    _daemon: Daemon,
}

pub(super) fn start(setup: &Setup) -> Result<Box<dyn Builder>, Error> {
    let buildkitd = process::find("buildkitd").ok_or(Error::Missing { program: "buildkitd" })?;
    let client = process::find("buildctl").ok_or(Error::Missing { program: "buildctl" })?;
    let directory = setup.directory.join("buildkit");
    let places = Places::below(&directory)?;
    let base_layout = directory.join("base");
    let base_digest = write_layout(setup, &directory, &base_layout)?;

    let mut command = Command::new(buildkitd);
    command.arg("--root").arg(&places.state).args(["--addr", &places.address()]);
    // The steps run in the daemon's own network, as ours run in the host's.
    command.args(["--oci-worker=true", "--containerd-worker=false", "--oci-worker-net=host"]);
    let daemon = Daemon::start("buildkitd", &command, &places.socket, &places.log)?;
    // `buildctl github.com/moby/buildkit v0.29.0 <commit>`
    let version = process::run(Command::new(&client).arg("--version"))?;
    let title = format!("buildkit {}", version.split_whitespace().nth(2).unwrap_or_default());
    let address = places.address();
    Ok(Box::new(Buildkit { title, client, address, base_layout, base_digest, _daemon: daemon }))
}

/// Has buildah write the base image as an OCI layout; returns the digest of its manifest.
fn write_layout(setup: &Setup, directory: &Path, layout: &Path) -> Result<String, Error> {
    let buildah = Buildah::with_base(setup, &directory.join("buildah"))?;
    let destination = format!("oci:{}:latest", layout.display());
    process::run(buildah.command().args(["push", "--quiet", base::NAME, &destination]))?;
    let path = layout.join("index.json");
    let text = fs::read_to_string(&path).map_err(Error::at(&path))?;
    let misread = |problem: String| Error::Output { command: "buildah push", problem };
    let index: Value = serde_json::from_str(&text).map_err(|error| misread(error.to_string()))?;
    let digest = index["manifests"][0]["digest"].as_str();
    digest.map(str::to_owned).ok_or_else(|| misread("an index without a manifest".to_owned()))
}

impl Builder for Buildkit {
    fn title(&self) -> &str {
        &self.title
    }

    fn build(&self, context: &Path, name: Option<&str>) -> Command {
        let local = |name: &str| format!("{name}={}", context.display());
        let mut command = Command::new(&self.client);
        command.args(["--addr", &self.address, "build", "--frontend", "dockerfile.v0"]);
        command.args(["--local", &local("context"), "--local", &local("dockerfile")]);
        command.arg("--oci-layout").arg(format!("base={}", self.base_layout.display()));
        command.arg("--opt").arg(format!("context:{}=oci-layout://base@{}", base::NAME, self.base_digest));
        let name = name.map_or_else(String::new, |name| format!(",name={name}"));
        command.args(["--output", &format!("type=image{name}"), "--progress", "plain"]);
        command
    }
}
