//! Measures the binary that users get, with the benchmark of `bench/`.

use std::path::PathBuf;
use std::process::Command;

use crate::error::Error;
use crate::packages::{self, Chore};
use crate::{dist, process, workspace};

/// Runs the benchmark; `arguments` are its own.
pub(crate) fn run(arguments: &[String]) -> Result<(), Error> {
    packages::ensure(Chore::Bench)?;
    let binary = dist::binary()?;
    process::run(process::cargo().args(["build", "--release", "--package", "slipway-bench"]))?;
    let mut bench = in_own_mounts(workspace::target().join("release/slipway-bench"));
    bench.args(arguments);
    bench.env("SLIPWAY_BIN", binary).env("SLIPWAY_BENCH_DIR", workspace::target().join("bench"));
    process::run(&mut bench)
}

/// A builder that is killed leaves its mounts; they go with a mount namespace. Only root has mounts to leave.
fn in_own_mounts(program: PathBuf) -> Command {
    if !packages::is_root() {
        return Command::new(program);
    }
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--"]).arg(program);
    unshare
}
