//! Slipway: the binary that users get.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Builder, Network, Runner, Setup};
use crate::base;
use crate::error::Error;
use crate::process;

pub(super) struct Slipway {
    title: String,
    binary: PathBuf,
    store: PathBuf,
}

pub(super) fn start(setup: &Setup) -> Result<Slipway, Error> {
    let mut slipway = Slipway {
        title: String::new(),
        binary: setup.slipway.clone(),
        store: setup.directory.join("slipway"),
    };
    slipway.title = process::run(slipway.command().arg("--version"))?;
    process::run(slipway.command().arg("import").arg(&setup.base_tar).arg(base::NAME))?;
    Ok(slipway)
}

impl Slipway {
    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--root").arg(&self.store);
        command
    }
}

impl Runner for Slipway {
    fn title(&self) -> &str {
        &self.title
    }

    fn command(&self) -> Command {
        Self::command(self)
    }
}

impl Builder for Slipway {
    fn title(&self) -> &str {
        &self.title
    }

    fn build(&self, context: &Path, name: Option<&str>) -> Command {
        let mut command = self.command();
        command.args(["build", "--progress", "plain"]).args(name.map(|name| format!("--tag={name}")));
        command.arg(context);
        command
    }

    fn run(&self, network: Network) -> Option<Command> {
        let mut command = self.command();
        let network = match network {
            Network::Host => "host",
            Network::Own => "bridge",
        };
        command.args(["run", "--rm", "--network", network, base::NAME, "true"]);
        Some(command)
    }
}
