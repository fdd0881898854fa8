//! Builds and runs a real program the way a user would, from nothing.

use std::fs;

use crate::error::Error;
use crate::packages::{self, Chore};
use crate::progress::Steps;
use crate::slipway::{self, Slipway};
use crate::table::Table;
use crate::{dist, process, workspace};

const IMAGE: &str = "demo";
const CONTEXT: &str = "testdata/demo";

/// The last line of the maze that the image draws by default.
const LAST_LINE: &str = "seed 2026: 78 steps through 192 cells";

/// Whether the first build may use the steps of an earlier demo.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cache {
    Keep,
    Ignore,
}

/// Runs the demo and prints its times.
pub(crate) fn run(cache: Cache) -> Result<(), Error> {
    packages::ensure(Chore::Demo)?;
    let directory = workspace::target().join("demo");
    fs::create_dir_all(&directory).map_err(|source| Error::File { path: directory.clone(), source })?;

    let mut times = Table::default();
    let binary = times.time("release binary", || Ok((dist::binary()?, String::new())))?;
    let slipway = Slipway::new(binary, &directory);
    let base = times.time("Debian base image", || slipway::debian_tar(&directory))?;
    times.time("import", || slipway.import_debian(&base).map(|how| ((), how)))?;
    times.time("build", || build(&slipway, cache))?;
    times.time("run", || run_image(&slipway))?;
    times.time("build again", || build_cached(&slipway))?;
    println!("\n{times}");
    Ok(())
}

fn build(slipway: &Slipway, cache: Cache) -> Result<((), String), Error> {
    let mut command = slipway.command(&["build", "-t", IMAGE]);
    if cache == Cache::Ignore {
        command.arg("--no-cache");
    }
    process::run(command.arg(CONTEXT))?;
    Ok(((), String::new()))
}

fn run_image(slipway: &Slipway) -> Result<((), String), Error> {
    let output = process::output(&mut slipway.command(&["run", "--rm", IMAGE]))?;
    print!("{output}");
    if output.lines().next_back() != Some(LAST_LINE) {
        return Err(Error::WrongOutput { image: IMAGE, output });
    }
    Ok(((), String::new()))
}

/// Builds once more; every step must come from the cache.
fn build_cached(slipway: &Slipway) -> Result<((), String), Error> {
    let mut command = slipway.command(&["build", "--progress", "plain", "-t", IMAGE, CONTEXT]);
    let progress = process::error_output(&mut command)?;
    eprint!("{progress}");
    match Steps::count(&progress) {
        Steps { cached, executed: 0 } if cached > 0 => Ok(((), format!("{cached} of {cached} steps CACHED"))),
        Steps { executed, .. } => Err(Error::NotCached { steps: executed, output: progress }),
    }
}
