//! Measures Slipway and other builders on the same work.
//!
//! Run as `cargo xtask bench`. Times are compared with those of the other builders in the same run on the
//! same machine, and the system calls of ours are counted: absolute times on a shared machine mean little.

mod arguments;
mod base;
mod builder;
mod count;
mod error;
mod growth;
mod measure;
mod peak;
mod process;
mod random;
mod report;
mod run_directory;
mod transfer;
mod trial;
mod work;

use std::error::Error as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use arguments::{Arguments, GrowthArguments};
use builder::{Absent, Builder, Setup};
use error::Error;
use report::{Report, Row};
use run_directory::RunDirectory;
use transfer::Transfer;
use trial::Trial;
use work::Work;

/// The binary to measure.
const BINARY_VARIABLE: &str = "SLIPWAY_BIN";
/// Where contexts and states are made, below the target directory.
const DIRECTORY_VARIABLE: &str = "SLIPWAY_BENCH_DIR";

fn main() -> ExitCode {
    let Err(error) = run() else { return ExitCode::SUCCESS };
    eprintln!("bench: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    ExitCode::FAILURE
}

fn run() -> Result<(), Error> {
    if let Some(told) = peak::asked(std::env::args_os().skip(1)) {
        return told;
    }
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let slipway = variable(BINARY_VARIABLE)?;
    let directory = RunDirectory::new(&variable(DIRECTORY_VARIABLE)?)?;
    let setup =
        Setup { slipway, base_tar: base::write(directory.path())?, directory: directory.path().to_owned() };
    if let Some(growth) = &arguments.growth {
        return measure_growth(&arguments, growth, &setup);
    }
    let report = measure_all(&arguments, &setup)?;
    let markdown = report.markdown();
    println!("{markdown}");
    if let Some(path) = &arguments.markdown {
        fs::write(path, markdown).map_err(Error::at(path))?;
    }
    if let Some(path) = &arguments.json {
        fs::write(path, format!("{:#}\n", report.json())).map_err(Error::at(path))?;
    }
    Ok(())
}

fn measure_growth(arguments: &Arguments, wanted: &GrowthArguments, setup: &Setup) -> Result<(), Error> {
    // A run takes minutes: what it has found so far is there.
    let draw = |all: &[growth::Growth]| wanted.svg.as_ref().map_or(Ok(()), |path| growth::draw(all, path));
    let all = growth::measure(setup, arguments.rounds, wanted.count_max, draw)?;
    println!("{}", growth::markdown(&all, arguments.rounds));
    if let Some(path) = &arguments.json {
        fs::write(path, format!("{:#}\n", growth::json(&all))).map_err(Error::at(path))?;
    }
    Ok(())
}

fn variable(variable: &'static str) -> Result<PathBuf, Error> {
    std::env::var_os(variable).map(PathBuf::from).ok_or(Error::Variable { variable })
}

fn measure_all(arguments: &Arguments, setup: &Setup) -> Result<Report, Error> {
    let (rows, absent) =
        if arguments.work.is_empty() { (Vec::new(), Vec::new()) } else { measure_work(arguments, setup)? };
    let transfer = |transfer: &Transfer| {
        eprintln!("{}: {}", transfer.id(), transfer.title());
        transfer::measure(*transfer, &setup.slipway, arguments.rounds, &setup.directory)
    };
    let transfers = arguments.transfers.iter().map(transfer).collect::<Result<_, _>>()?;
    let trial = |trial: &Trial| {
        eprintln!("{}: {}", trial.id(), trial.title());
        trial.measure(setup, arguments.rounds, arguments.extent)
    };
    let trials = arguments.trials.iter().map(trial).collect::<Result<_, _>>()?;
    Ok(Report { rows, transfers, trials, absent, rounds: arguments.rounds })
}

fn measure_work(arguments: &Arguments, setup: &Setup) -> Result<(Vec<Row>, Vec<Absent>), Error> {
    let mut builders = vec![builder::ours(setup)?];
    let (peers, absent) = builder::peers(setup);
    builders.extend(peers);
    let row = |work| measure_row(work, &builders, arguments.rounds, &setup.directory);
    let rows = arguments.work.iter().copied().map(row).collect::<Result<_, _>>()?;
    Ok((rows, absent))
}

fn measure_row(
    work: &'static Work,
    builders: &[Box<dyn Builder>],
    rounds: u64,
    directory: &Path,
) -> Result<Row, Error> {
    eprintln!("{}: {}", work.id, work.title);
    let samples = measure::measure(work, builders, rounds, directory)?;
    let counts = count::count(work, builders[0].as_ref(), rounds, directory)?;
    Ok(Row { work, samples, counts })
}
