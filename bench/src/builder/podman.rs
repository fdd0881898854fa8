//! podman, with runc: an engine without a daemon, as ours.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{Runner, Setup};
use crate::base;
use crate::error::Error;
use crate::process;

/// Podman asks for more open files than a container of CI may have, unless it is told a number.
const CONFIG: &str = "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";

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
    fs::create_dir_all(&podman.state).map_err(Error::at(&podman.state))?;
    fs::write(podman.config(), CONFIG).map_err(Error::at(podman.config()))?;
    process::run(podman.command().args(["import", "--quiet"]).arg(&setup.base_tar).arg(base::NAME))?;
    Ok(podman)
}

impl Podman {
    fn config(&self) -> PathBuf {
        self.state.join("containers.conf")
    }
}

/// Podman mounts its store on itself, which only the namespace of the benchmark sees.
impl Drop for Podman {
    fn drop(&mut self) {
        // It need not be mounted.
        let _ = process::run(Command::new("umount").arg("--lazy").arg(self.state.join("storage/overlay")));
    }
}

impl Runner for Podman {
    fn title(&self) -> &str {
        &self.title
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.env("CONTAINERS_CONF", self.config());
        command.arg("--root").arg(self.state.join("storage"));
        command.arg("--runroot").arg(self.state.join("run")).arg("--tmpdir").arg(self.state.join("tmp"));
        command.args(["--storage-driver", "overlay", "--runtime", "runc"]);
        // There is neither systemd nor its journal in CI.
        command.args(["--cgroup-manager", "cgroupfs", "--events-backend", "file"]);
        command
    }
}
