//! The project's own chores, run as `cargo xtask COMMAND`.

mod bench;
mod corpus;
mod demo;
mod dist;
mod elf;
mod error;
mod fuzz;
mod lint;
mod next_release;
mod packages;
mod process;
mod progress;
mod project;
mod servers;
mod slipway;
mod table;
mod test;
mod torture;
mod workspace;

use std::error::Error as _;
use std::process::ExitCode;

use error::Error;

const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo [--no-cache]    build the release binary and a Debian base image, build and run testdata/demo, show the times
  corpus [--quick | NAME...]
                       build and run the projects in testdata/projects, all or some of them, and show the times
  test [ARGUMENT...]   install what the tests need and run all of them; arguments go to the test runner
  dist                 make the static binary, its completions and its man pages
  bench [ROW...] [--runs N] [--json FILE] [--markdown FILE]
                       measure Slipway and the builders found here on the same work
  fuzz [TARGET...] [--seconds N]
                       let libFuzzer look for texts that break us, a minute for each target
  torture [kills] [power] [faults] [flips] [full] [--minutes N] [--seed N]
                       kill builds, cut their power, refuse their system calls, flip bits of the store; two minutes,
                       or as long as it is given, up to 1000 kills and 200 cuts
  lint                 formatting, clippy and rustdoc, with warnings as errors

CARGO_TARGET_DIR is respected; everything that a command makes is below it.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Err(error) = run(&arguments) else { return ExitCode::SUCCESS };
    eprintln!("xtask: {error}");
    let mut cause = error.source();
    while let Some(error) = cause {
        eprintln!("  because: {error}");
        cause = error.source();
    }
    ExitCode::FAILURE
}

fn run(arguments: &[String]) -> Result<(), Error> {
    let Some((command, rest)) = arguments.split_first() else { return Err(usage("no command")) };
    match (command.as_str(), rest) {
        ("demo", []) => demo::run(demo::Cache::Keep),
        ("demo", [flag]) if flag == "--no-cache" => demo::run(demo::Cache::Ignore),
        ("corpus", arguments) => match corpus::Selection::new(arguments) {
            Some(selection) => corpus::run(&selection),
            None => Err(usage("`corpus` takes names, or `--quick`")),
        },
        ("test", runner_arguments) => test::run(runner_arguments),
        ("dist", []) => dist::run(),
        ("bench", bench_arguments) => bench::run(bench_arguments),
        ("fuzz", arguments) => match fuzz::Request::new(arguments) {
            Some(request) => fuzz::run(&request),
            None => Err(usage("`fuzz` takes names of targets and `--seconds N`")),
        },
        ("torture", arguments) => match torture::Request::new(arguments) {
            Some(request) => torture::run(&request),
            None => Err(usage(
                "`torture` takes `kills`, `power`, `faults`, `flips`, `full`, `--minutes N` and `--seed N`",
            )),
        },
        ("lint", []) => lint::run(),
        ("help" | "--help" | "-h", _) => {
            println!("{USAGE}");
            Ok(())
        }
        _ => Err(usage(&format!("no such command: `{}`", arguments.join(" ")))),
    }
}

fn usage(problem: &str) -> Error {
    Error::Usage { problem: problem.to_owned(), usage: USAGE }
}
