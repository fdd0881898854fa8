//! podman, with runc: an engine without a daemon, as ours.

use std::path::PathBuf;
use std::process::Command;

use super::{Runner, Setup};
use crate::base;
use crate::error::Error;
use crate::process;

pub(super) struct Podman {
    title: String,
    binary: PathBuf,
    state: PathBuf,
}

/// A podman whose store holds the base image.
pub(super) fn start(setup: &Setup) -> Result<Podman, Error> {
    let binary = process::find("podman").ok_or(Error::Missing { program: "podman" })?;
    process::find("runc").ok_or(Error::Missing { program: "runc" })?;
    // `podman version 4.3.1`
    let title = process::run(Command::new(&binary).arg("--version"))?.replace(" version", "");
    let podman = Podman { title, binary, state: setup.directory.join("podman") };
    process::run(podman.command().args(["import", "--quiet"]).arg(&setup.base_tar).arg(base::NAME))?;
    Ok(podman)
}

impl Runner for Podman {
    fn title(&self) -> &str {
        &self.title
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--root").arg(self.state.join("storage"));
        command.arg("--runroot").arg(self.state.join("run")).arg("--tmpdir").arg(self.state.join("tmp"));
        command.args(["--storage-driver", "overlay", "--runtime", "runc"]);
        // There is neither systemd nor its journal in CI.
        command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
        command
    }
}
