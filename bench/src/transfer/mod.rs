//! Images on their way from and to a registry on this machine: Slipway beside `skopeo copy`.

mod content;
mod registry;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::error::Error;
use crate::measure::Sample;
use crate::process;
pub(crate) use registry::Registry;

/// A row of the table of transfers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// An image into an empty store, unpacked.
    Pull,
    /// A layer that the registry does not have, from plain files to compressed.
    Push,
}

/// Everything that can be measured.
pub(crate) const TRANSFERS: [Transfer; 2] = [Transfer::Pull, Transfer::Push];

/// What was measured of one transfer, ours first.
pub(crate) struct TransferRow {
    pub(crate) transfer: Transfer,
    pub(crate) samples: Vec<Sample>,
}

impl Transfer {
    /// Its name in the project's targets.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Pull => "P8",
            Self::Push => "P9",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Pull => "pull and unpack 32 layers / 1 GB from a loopback registry",
            Self::Push => "push a new layer of 500 MB, gzip, to a loopback registry",
        }
    }
}

/// One way to move images.
struct Mover {
    title: String,
    pull: Command,
    push: Command,
    /// Where its store is, empty before each pull.
    state: PathBuf,
}

/// Measures a transfer. Everything is made below `directory` and removed with it.
pub(crate) fn measure(
    transfer: Transfer,
    slipway: &Path,
    rounds: u64,
    directory: &Path,
) -> Result<TransferRow, Error> {
    let directory = directory.join(transfer.id());
    let registry = Registry::start(&directory)?;
    let rounds = 0..=rounds;
    let mut times = [Vec::new(), Vec::new()];
    let mut movers = [ours(slipway, &registry, &directory)?, skopeos(&registry, &directory)?];
    if transfer == Transfer::Pull {
        publish(slipway, &registry, &directory)?;
    }
    for round in rounds {
        if transfer == Transfer::Push {
            build_layer(slipway, &registry, &directory, round)?;
        }
        let first = usize::try_from(round % 2).unwrap_or_default();
        for at in [first, 1 - first] {
            let took = movers[at].time(transfer)?;
            if round > 0 {
                times[at].push(took);
            }
        }
    }
    let samples = movers.iter().zip(times).map(|(mover, times)| Sample::new(&mover.title, times)).collect();
    Ok(TransferRow { transfer, samples })
}

impl Mover {
    fn time(&mut self, transfer: Transfer) -> Result<Duration, Error> {
        // What the other one left to write is not this one's to wait for.
        rustix::fs::sync();
        match transfer {
            Transfer::Push => process::time(&mut self.push),
            Transfer::Pull => {
                let took = process::time(&mut self.pull)?;
                self.forget()?;
                Ok(took)
            }
        }
    }
}

impl Mover {
    /// Empties the store. That of skopeo is mounted on itself, which only the namespace of the benchmark sees.
    fn forget(&self) -> Result<(), Error> {
        let overlay = self.state.join("root/overlay");
        if overlay.exists() {
            // It need not be mounted; if it is and stays so, the next line says so.
            let _ = process::run(Command::new("umount").arg("--lazy").arg(&overlay));
        }
        fs::remove_dir_all(&self.state).map_err(Error::at(&self.state))
    }
}

fn ours(slipway: &Path, registry: &Registry, directory: &Path) -> Result<Mover, Error> {
    let title = process::run(Command::new(slipway).arg("--version"))?;
    let state = directory.join("pulled");
    let mut pull = Command::new(slipway);
    pull.arg("--root").arg(&state).args(["pull", "--quiet"]).arg(registry.name("ours"));
    let mut push = builder(slipway, directory);
    push.args(["push", "--quiet"]).arg(registry.name("ours"));
    Ok(Mover { title, pull, push, state })
}

fn skopeos(registry: &Registry, directory: &Path) -> Result<Mover, Error> {
    let skopeo = process::find("skopeo").ok_or(Error::Missing { program: "skopeo" })?;
    let title = process::run(Command::new(&skopeo).arg("--version"))?.replace("version ", "");
    let state = directory.join("skopeo");
    let copy = || {
        let mut command = Command::new(&skopeo);
        command.args(["copy", "--quiet", "--insecure-policy"]);
        command.args(["--src-tls-verify=false", "--dest-tls-verify=false"]);
        command
    };
    let store = format!("containers-storage:[overlay@{0}/root+{0}/run]bench", state.display());
    let mut pull = copy();
    pull.arg(format!("docker://{}", registry.name("ours"))).arg(store);
    let mut push = copy();
    push.args(["--dest-compress-format", "gzip"]);
    push.arg(format!("oci:{}", directory.join("layout").display()));
    push.arg(format!("docker://{}", registry.name("skopeos")));
    Ok(Mover { title, pull, push, state })
}

/// Slipway with the store in which images are made.
fn builder(slipway: &Path, directory: &Path) -> Command {
    let mut command = Command::new(slipway);
    command.arg("--root").arg(directory.join("built"));
    command
}

/// Puts the image that is pulled into the registry.
fn publish(slipway: &Path, registry: &Registry, directory: &Path) -> Result<(), Error> {
    let context = directory.join("context");
    content::many_layers(&context)?;
    let mut build = builder(slipway, directory);
    build.args(["build", "--quiet", "--push", "--tag"]).arg(registry.name("ours")).arg(&context);
    process::run(&mut build)?;
    fs::remove_dir_all(&context).map_err(Error::at(&context))
}

/// Makes the image that is pushed: for Slipway in its store, for skopeo as a layout with a plain layer.
fn build_layer(slipway: &Path, registry: &Registry, directory: &Path, round: u64) -> Result<(), Error> {
    let (context, layout) = (directory.join("context"), directory.join("layout"));
    content::one_layer(&context, round)?;
    if layout.exists() {
        fs::remove_dir_all(&layout).map_err(Error::at(&layout))?;
    }
    let output = format!("type=oci,compression=uncompressed,tar=false,dest={}", layout.display());
    let mut build = builder(slipway, directory);
    build.args(["build", "--quiet", "--output", &output, "--tag"]).arg(registry.name("ours")).arg(&context);
    process::run(&mut build)?;
    fs::remove_dir_all(&context).map_err(Error::at(&context))
}
