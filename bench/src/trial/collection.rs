//! A store with many records: what it costs to open it, and what builds feel of a collection.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::{Amount, Finding};
use crate::base;
use crate::builder::{self, Builder, Setup};
use crate::error::Error;
use crate::measure::Sample;
use crate::process;
use crate::work::NAME;

/// Steps of one build that fills the store.
const STEPS: u64 = 1_000;
/// Steps in a row, each of which has a record of a layer on those before it.
const STEPS_IN_STAGE: u64 = 100;
/// What both shall cost at most.
const MOST: Amount = Amount::Time(Duration::from_millis(5));
/// Nothing is collected unless it is asked for.
const LIMITS: [&str; 3] = ["SLIPWAY_MIN_FREE_SPACE", "SLIPWAY_MAX_USED_SPACE", "SLIPWAY_RESERVED_SPACE"];

pub(super) fn measure(setup: &Setup, rounds: u64, records: u64) -> Result<Vec<Finding>, Error> {
    fs::create_dir_all(&setup.directory).map_err(Error::at(&setup.directory))?;
    let bench = Bench { builder: builder::ours(setup)?, setup };
    let few = bench.warm(rounds)?;
    for number in 0..records / STEPS {
        eprintln!("P13: {} of {records} records", number * STEPS);
        process::run(&mut bench.command(&many_steps(number), "filled")?)?;
    }
    let many = bench.warm(rounds)?;
    let alone = Sample::new("", (0..rounds).map(|round| bench.cold(round)).collect::<Result<_, _>>()?);
    let mut collection = Collection(
        bench
            .collection()
            .spawn()
            .map_err(|source| Error::Start { command: "slipway builder prune".to_owned(), source })?,
    );
    let (mut times, mut warm) = (Vec::new(), Vec::new());
    while collection.goes_on()? {
        times.push(bench.cold(rounds + times.len() as u64)?);
        warm.push(process::time(&mut bench.command(&short(), "warm")?)?);
    }
    if times.is_empty() {
        let problem = "the collection ended before a build did".to_owned();
        return Err(Error::Output { command: "slipway builder prune", problem });
    }
    let (beside, builds) = (Sample::new("", times), warm.len());
    let warm = Sample::new("", warm);
    let stall = |with: &Sample, without: &Sample| with.median().saturating_sub(without.median());
    Ok(vec![
        Finding::time("a cached build of one step, in a store with next to nothing", few.median()),
        Finding::time(format!("the same with {records} records"), many.median()).at_most(MOST),
        Finding::time("a build with one new `RUN true`", alone.median()),
        Finding::time(format!("the same while all records are collected, {builds} builds"), beside.median()),
        Finding::time("the slowest of them", beside.slowest()),
        Finding::time("what that build feels of the collection", stall(&beside, &alone)).at_most(MOST),
        Finding::time("what the cached build feels of it", stall(&warm, &many)).at_most(MOST),
    ])
}

struct Bench<'a> {
    builder: Box<dyn Builder>,
    setup: &'a Setup,
}

impl Bench<'_> {
    /// A build of this Dockerfile.
    fn command(&self, dockerfile: &str, name: &str) -> Result<Command, Error> {
        let context = self.setup.directory.join(name);
        let path = context.join("Dockerfile");
        fs::create_dir_all(&context).map_err(Error::at(&context))?;
        fs::write(&path, dockerfile).map_err(Error::at(path))?;
        let mut build = self.builder.build(&context, Some(NAME));
        build.envs(LIMITS.map(|limit| (limit, "0")));
        Ok(build)
    }

    /// Builds of one step that is cached.
    fn warm(&self, rounds: u64) -> Result<Sample, Error> {
        process::run(&mut self.command(&short(), "warm")?)?;
        let time = |_| process::time(&mut self.command(&short(), "warm")?);
        Ok(Sample::new("", (0..rounds).map(time).collect::<Result<_, _>>()?))
    }

    /// A build of one step that is not.
    fn cold(&self, round: u64) -> Result<Duration, Error> {
        process::time(&mut self.command(&format!("{}RUN true {round}\n", short()), "cold")?)
    }

    /// Removes everything that no image stands on.
    fn collection(&self) -> Command {
        let mut command = Command::new(&self.setup.slipway);
        command.arg("--root").arg(store(&self.setup.directory)).args(["builder", "prune", "--force"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        command
    }
}

/// A collection that goes on. Killed when dropped.
struct Collection(Child);

impl Collection {
    fn goes_on(&mut self) -> Result<bool, Error> {
        let command = || "slipway builder prune".to_owned();
        let status = self.0.try_wait().map_err(|source| Error::Start { command: command(), source })?;
        match status {
            Some(status) if !status.success() => {
                Err(Error::Status { command: command(), status, output: String::new() })
            }
            status => Ok(status.is_none()),
        }
    }
}

impl Drop for Collection {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn store(directory: &Path) -> std::path::PathBuf {
    directory.join("slipway")
}

fn short() -> String {
    format!("FROM {}\nRUN true\n", base::NAME)
}

/// Steps that no other number has, each with a layer of its own.
fn many_steps(number: u64) -> String {
    let mut text = String::new();
    for step in 0..STEPS {
        if step % STEPS_IN_STAGE == 0 {
            let _ = writeln!(text, "FROM {} AS stage{step}", base::NAME);
        }
        let _ = match step.checked_sub(1) {
            Some(above) if step % STEPS_IN_STAGE == 0 => writeln!(
                text,
                "COPY --from=stage{} /{number}/{above} /{number}/{step}",
                step - STEPS_IN_STAGE
            ),
            _ => writeln!(text, "WORKDIR /{number}/{step}"),
        };
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_step_has_a_record_of_its_own() {
        let text = many_steps(7);
        let steps: Vec<&str> = text.lines().filter(|line| !line.starts_with("FROM")).collect();
        let different: std::collections::BTreeSet<_> = steps.iter().collect();
        assert_eq!((steps.len(), different.len()), (1_000, 1_000));
        assert_eq!(text.lines().filter(|line| line.starts_with("FROM")).count(), 10);
        assert!(many_steps(8).lines().all(|line| line.starts_with("FROM") || !steps.contains(&line)));
    }
}
