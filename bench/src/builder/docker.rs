//! docker with dockerd, which has BuildKit inside.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::daemon::{Daemon, Places};
use super::{Builder, Network, Runner, Setup};
use crate::base;
use crate::error::Error;
use crate::process;

/// From this release on, the client leaves BuildKit to a plugin.
const FIRST_WITH_PLUGIN: u32 = 23;

pub(super) struct Docker {
    title: String,
    client: PathBuf,
    address: String,
    _daemon: Daemon,
}

/// A docker whose daemon has the base image.
pub(super) fn start(setup: &Setup) -> Result<Docker, Error> {
    let dockerd = process::find("dockerd").ok_or(Error::Missing { program: "dockerd" })?;
    let client = client_with_buildkit().ok_or(Error::Missing { program: "docker with buildx" })?;
    let places = Places::below(&setup.directory.join("docker"))?;
    let mut command = Command::new(dockerd);
    command.arg("--data-root").arg(&places.state).arg("--exec-root").arg(places.state.join("exec"));
    command.arg("--pidfile").arg(places.state.with_extension("pid")).args(["--host", &places.address()]);
    // No bridge and no rules: the steps run in the daemon's own network, as ours run in the host's.
    command.args(["--bridge=none", "--iptables=false", "--ip-forward=false", "--ip-masq=false"]);
    let daemon = Daemon::start("dockerd", &command, &places.socket, &places.log)?;

    let mut docker = Docker { title: String::new(), client, address: places.address(), _daemon: daemon };
    let version = process::run(docker.command().args(["version", "--format", "{{.Server.Version}}"]))?;
    docker.title = format!("docker {version}");
    process::run(docker.command().arg("import").arg(&setup.base_tar).arg(base::NAME))?;
    Ok(docker)
}

/// A client that can speak BuildKit with its daemon: an old one by itself, a newer one with its plugin.
fn client_with_buildkit() -> Option<PathBuf> {
    process::find_all("docker").into_iter().find(|client| {
        let version = process::run(Command::new(client).arg("--version")).unwrap_or_default();
        let has_plugin = || process::run(Command::new(client).args(["buildx", "version"])).is_ok();
        major(&version).is_some_and(|major| major < FIRST_WITH_PLUGIN) || has_plugin()
    })
}

/// 20 of `Docker version 20.10.24+dfsg1, build 297e128`.
fn major(version: &str) -> Option<u32> {
    version.strip_prefix("Docker version ")?.split('.').next()?.parse().ok()
}

impl Docker {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.client);
        command.env("DOCKER_BUILDKIT", "1").env("DOCKER_HOST", &self.address);
        command
    }
}

impl Runner for Docker {
    fn title(&self) -> &str {
        &self.title
    }

    fn command(&self) -> Command {
        Self::command(self)
    }
}

impl Builder for Docker {
    fn title(&self) -> &str {
        &self.title
    }

    fn build(&self, context: &Path, name: Option<&str>) -> Command {
        let mut command = self.command();
        command.args(["build", "--network", "host", "--progress", "plain"]);
        command.args(name.map(|name| format!("--tag={name}"))).arg(context);
        command
    }

    fn run(&self, network: Network) -> Option<Command> {
        // The daemon has no bridge here.
        if network == Network::Own {
            return None;
        }
        let mut command = self.command();
        command.args(["run", "--rm", "--network", "host", base::NAME, "true"]);
        Some(command)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_major_version_is_the_first_number() {
        assert_eq!(major("Docker version 20.10.24+dfsg1, build 297e128"), Some(20));
        assert_eq!(major("podman version 4.3.1"), None);
    }
}
