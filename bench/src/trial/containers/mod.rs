//! Containers: their commands beside those of other engines, many containers at once, and what one writes.

mod crowd;
mod log;

use std::time::Duration;

use super::{Amount, Finding};
use crate::base;
use crate::builder::{self, Runner, Setup};
use crate::error::Error;
use crate::measure::Sample;
use crate::process;

/// A container that is alone.
const CONTAINER: &str = "bench-container";
/// Something that ends when it is asked to.
const SERVICE: &str = "trap 'exit 0' TERM; sleep 1000 & wait";
/// What is done with one container, in an order in which it can be done.
const ACTIONS: [(&str, &[&str]); 5] = [
    ("run --rm", &["run", "--rm", "--network", "host", base::NAME, "true"]),
    ("run -d", &["run", "-d", "--name", CONTAINER, "--network", "host", base::NAME, "sh", "-c", SERVICE]),
    ("exec", &["exec", CONTAINER, "true"]),
    ("stop", &["stop", CONTAINER]),
    ("rm", &["rm", CONTAINER]),
];
/// What the first of them shall cost at most.
const RUN_MOST: Amount = Amount::Time(Duration::from_millis(15));

pub(super) fn measure(setup: &Setup, rounds: u64) -> Result<Vec<Finding>, Error> {
    std::fs::create_dir_all(&setup.directory).map_err(Error::at(&setup.directory))?;
    let mut runners = vec![builder::our_runner(setup)?];
    let (others, absent) = builder::other_runners(setup);
    runners.extend(others);
    for absent in absent {
        eprintln!("P12b: {} is not measured, since {}", absent.name, absent.why);
    }
    let mut findings = actions(&runners, rounds)?;
    for runner in &runners {
        findings.extend(log::measure(runner.as_ref(), setup)?);
    }
    findings.extend(crowd::measure(runners[0].as_ref(), setup)?);
    Ok(findings)
}

/// Everybody does the same in every round. The first round is not measured, and the order rotates.
fn actions(runners: &[Box<dyn Runner>], rounds: u64) -> Result<Vec<Finding>, Error> {
    let mut times = vec![vec![Vec::new(); runners.len()]; ACTIONS.len()];
    for round in 0..=rounds {
        let first = usize::try_from(round).unwrap_or_default() % runners.len();
        for at in (first..runners.len()).chain(0..first) {
            // What the others left to write is not this one's to wait for.
            rustix::fs::sync();
            for (action, (_, arguments)) in ACTIONS.iter().enumerate() {
                let took = process::time(runners[at].command().args(*arguments))?;
                if round > 0 {
                    times[action][at].push(took);
                }
            }
        }
    }
    let mut findings = Vec::new();
    for ((name, _), times) in ACTIONS.iter().zip(times) {
        for (runner, times) in runners.iter().zip(times) {
            let median = Sample::new("", times).median();
            let finding = Finding::time(format!("{name}, {}", runner.title()), median);
            // Ours come first.
            findings.push(if findings.is_empty() { finding.at_most(RUN_MOST) } else { finding });
        }
    }
    Ok(findings)
}
