//! Builds and runs a real program the way a user would, from nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::Error;
use crate::packages::{self, Chore};
use crate::table::Table;
use crate::{dist, process, workspace};

const BASE: &str = "debian:12";
const BASE_SUITE: &str = "bookworm";
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

/// The binary, and the store that only the demo uses.
struct Slipway {
    binary: PathBuf,
    store: PathBuf,
}

impl Slipway {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.binary);
        command.arg("--root").arg(&self.store).args(arguments).current_dir(workspace::root());
        command
    }
}

/// Runs the demo and prints its times.
pub(crate) fn run(cache: Cache) -> Result<(), Error> {
    packages::ensure(Chore::Demo)?;
    let directory = workspace::target().join("demo");
    fs::create_dir_all(&directory).map_err(|source| Error::File { path: directory.clone(), source })?;

    let mut times = Table::default();
    let binary = times.time("release binary", || Ok((dist::binary()?, String::new())))?;
    let slipway = Slipway { binary, store: directory.join("store") };
    let base = directory.join(format!("{BASE_SUITE}.tar"));
    times.time("Debian base image", || debian(&base))?;
    times.time("import", || import(&slipway, &base))?;
    times.time("build", || build(&slipway, cache))?;
    times.time("run", || run_image(&slipway))?;
    times.time("build again", || build_cached(&slipway))?;
    println!("\n{times}");
    Ok(())
}

/// Makes the root file system of a Debian from Debian's packages, once.
fn debian(tar: &Path) -> Result<((), String), Error> {
    if tar.exists() {
        return Ok(((), "made by an earlier demo".to_owned()));
    }
    // An interrupted mmdebstrap must not leave a tar that looks finished.
    let partial = tar.with_extension("partial.tar");
    let mode = if packages::is_root() { "--mode=root" } else { "--mode=unshare" };
    let mut debootstrap = Command::new("mmdebstrap");
    // A sandbox makes its own `/dev`, and an ordinary user could not make the devices of the tar.
    debootstrap.args([mode, "--variant=minbase", "--format=tar", "--skip=output/dev"]);
    // Inside a user namespace with a single id, apt cannot become its own user to download.
    debootstrap.arg("--aptopt=APT::Sandbox::User \"root\"");
    process::run(debootstrap.arg(BASE_SUITE).arg(&partial))?;
    fs::rename(&partial, tar).map_err(|source| Error::File { path: tar.to_owned(), source })?;
    Ok(((), "mmdebstrap --variant=minbase".to_owned()))
}

fn import(slipway: &Slipway, tar: &Path) -> Result<((), String), Error> {
    if process::succeeds(&mut slipway.command(&["inspect", BASE])) {
        return Ok(((), "imported by an earlier demo".to_owned()));
    }
    let tar_path = tar.to_string_lossy();
    process::run(&mut slipway.command(&["import", &tar_path, BASE]))?;
    Ok(((), BASE.to_owned()))
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

/// How many steps of a build came from the cache, and how many ran.
#[derive(Debug, PartialEq, Eq)]
struct Steps {
    cached: usize,
    executed: usize,
}

impl Steps {
    /// Reads plain progress: `#4 [build 2/3] RUN make` names a step, `#4 CACHED` is its end.
    ///
    /// A base image is not a step: it is looked up, not executed.
    fn count(progress: &str) -> Self {
        let lines = || progress.lines().filter_map(|line| line.strip_prefix('#')?.split_once(' '));
        let is_step = |text: &str| {
            let named = text.strip_prefix('[').and_then(|text| text.split_once("] "));
            named.is_some_and(|(place, what)| place != "internal" && !what.starts_with("FROM "))
        };
        let with = |wanted: &dyn Fn(&str) -> bool| -> BTreeSet<&str> {
            lines().filter(|(_, text)| wanted(text)).map(|(number, _)| number).collect()
        };
        let steps = with(&is_step);
        let cached = steps.intersection(&with(&|text| text == "CACHED")).count();
        Self { cached, executed: steps.len() - cached }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_is_cached_only_when_its_number_says_so() {
        let progress = "\
#1 [internal] load build definition from Dockerfile
#1 DONE 0.0s
#2 [toolchain 1/2] FROM debian:12
#2 CACHED
#3 [toolchain 2/2] RUN apt-get install gcc
#3 CACHED
#4 [build 1/1] RUN make
#4 0.120 #3 CACHED
#4 DONE 0.3s
";
        assert_eq!(Steps::count(progress), Steps { cached: 1, executed: 1 });
    }
}
