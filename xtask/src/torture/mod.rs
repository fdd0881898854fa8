//! Kills builds, cuts the power, refuses system calls, fills the disk and flips bits, and looks whether the next build cares.
//!
//! Everything happens in mount and pid namespaces of its own, with a store on a file system of its own: whatever goes
//! wrong ends with them, and every process that is left can be counted.

mod arguments;
mod census;
mod disk;
mod faults;
mod flips;
mod full;
mod kills;
mod power;
mod random;
mod report;
mod subject;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::packages::{self, Chore};
use crate::{dist, process, workspace};

use arguments::Kind;
pub(crate) use arguments::Request;
use random::Random;
use report::Report;
use subject::Subject;

/// Says inside of the namespaces what to torture.
const BINARY_VARIABLE: &str = "SLIPWAY_TORTURED";
/// The binary to torture instead of the one that is built for it.
const GIVEN_VARIABLE: &str = "SLIPWAY_BIN";

/// What all kinds of torture need.
pub(crate) struct Rack<'a> {
    subject: Subject,
    random: Random,
    report: &'a mut Report,
    until: Instant,
}

impl Rack<'_> {
    /// Whether there is time for another round, and there has not been enough of them.
    fn goes_on(&self, rounds: u64, rounds_max: u64) -> bool {
        rounds < rounds_max && Instant::now() < self.until
    }
}

/// Tortures, and fails when there was a finding.
pub(crate) fn run(request: &Request) -> Result<(), Error> {
    match std::env::var_os(BINARY_VARIABLE) {
        Some(binary) => inside(request, Path::new(&binary)),
        None => outside(request),
    }
}

/// Starts the same program again in namespaces of its own.
fn outside(request: &Request) -> Result<(), Error> {
    packages::ensure(Chore::Torture)?;
    let binary = match std::env::var_os(GIVEN_VARIABLE) {
        Some(given) => PathBuf::from(given),
        None => dist::binary()?,
    };
    let ourselves = std::env::current_exe()
        .map_err(|source| Error::File { path: PathBuf::from("/proc/self/exe"), source })?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc"]);
    // The shell is the first process, and buries whoever loses their parent.
    unshare.args(["sh", "-c", "\"$@\"; exit $?", "sh"]).arg(ourselves).arg("torture").args(request.words());
    process::run(unshare.env(BINARY_VARIABLE, binary))
}

fn inside(request: &Request, binary: &Path) -> Result<(), Error> {
    let directory = workspace::target().join("torture");
    clear(&directory)?;
    let mut report = Report::default();
    let kinds = request.kinds();
    let share = request.time() / u32::try_from(kinds.len()).unwrap_or(1);
    for kind in kinds {
        let random = Random::new(request.seed());
        let place = directory.join(kind.name());
        let tortured = torture(kind, binary, &place, random, &mut report, share);
        disk::unmount_all(&place)?;
        tortured?;
    }
    census::remove_own_groups();
    println!("\n{report}");
    if report.is_clean() { clear(&directory) } else { Err(Error::Tortured { findings: report.findings() }) }
}

fn torture(
    kind: Kind,
    binary: &Path,
    place: &Path,
    random: Random,
    report: &mut Report,
    share: Duration,
) -> Result<(), Error> {
    let subject = Subject::new(binary, place)?;
    let mut rack = Rack { subject, random, report, until: Instant::now() + share };
    match kind {
        Kind::Kills => kills::run(&mut rack, kind.rounds()),
        Kind::Power => power::run(&mut rack, kind.rounds()),
        Kind::Faults => faults::run(&mut rack, kind.rounds()),
        Kind::Flips => flips::run(&mut rack, kind.rounds()),
        Kind::Full => full::run(&mut rack, kind.rounds()),
    }
}

fn clear(directory: &Path) -> Result<(), Error> {
    match std::fs::remove_dir_all(directory) {
        Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::File { path: directory.to_owned(), source })
        }
        _ => Ok(()),
    }
}
