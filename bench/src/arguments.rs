//! What to measure, from the command line.

use std::path::PathBuf;

use crate::error::Error;
use crate::transfer::{TRANSFERS, Transfer};
use crate::trial::{Extent, TRIALS, Trial};
use crate::work::{WORK, Work};

const USAGE: &str = "usage: cargo xtask bench [ROW...|growth] [--runs N] [--json FILE] [--markdown FILE] \
                     [--svg FILE] [--count-max N] [--records N] [--gigabytes N]";
/// What measures the growth of a warm build, and nothing else.
const GROWTH: &str = "growth";

/// Enough for a median that one disturbance does not move.
const ROUNDS_DEFAULT: u64 = 7;
/// A run of hours is a mistake.
const ROUNDS_MAX: u64 = 1000;

/// What the targets say. The disk has to hold the layer twice.
const LAYER_GIGABYTES: u64 = 10;
const RECORDS: u64 = 100_000;

/// What to measure, and where to write the results beside the terminal.
pub(crate) struct Arguments {
    pub(crate) work: Vec<&'static Work>,
    pub(crate) transfers: Vec<Transfer>,
    /// Only those that are named: they take minutes, and gigabytes of the disk.
    pub(crate) trials: Vec<Trial>,
    /// How large the trials are.
    pub(crate) extent: Extent,
    pub(crate) rounds: u64,
    pub(crate) json: Option<PathBuf>,
    pub(crate) markdown: Option<PathBuf>,
    /// Measure how a warm build grows instead.
    pub(crate) growth: Option<GrowthArguments>,
}

/// How to measure growth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GrowthArguments {
    /// Where to draw it.
    pub(crate) svg: Option<PathBuf>,
    /// The largest count that is measured.
    pub(crate) count_max: u64,
}

impl Arguments {
    pub(crate) fn parse(words: impl IntoIterator<Item = String>) -> Result<Self, Error> {
        let mut arguments = Self {
            work: Vec::new(),
            transfers: Vec::new(),
            trials: Vec::new(),
            extent: Extent { records: RECORDS, layer_gigabytes: LAYER_GIGABYTES },
            rounds: ROUNDS_DEFAULT,
            json: None,
            markdown: None,
            growth: None,
        };
        let mut growth = GrowthArguments { svg: None, count_max: u64::MAX };
        let mut is_growth = false;
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            let mut value = || words.next().ok_or_else(|| usage(format!("`{word}` wants a value")));
            match word.as_str() {
                "--runs" => arguments.rounds = rounds(&value()?)?,
                "--json" => arguments.json = Some(value()?.into()),
                "--markdown" => arguments.markdown = Some(value()?.into()),
                "--svg" => growth.svg = Some(value()?.into()),
                "--gigabytes" => arguments.extent.layer_gigabytes = count(&value()?)?,
                "--records" => arguments.extent.records = count(&value()?)?,
                "--count-max" => growth.count_max = count(&value()?)?,
                GROWTH => is_growth = true,
                id => match (transfer(id), trial(id)) {
                    (Some(transfer), _) => arguments.transfers.push(transfer),
                    (None, Some(trial)) => arguments.trials.push(trial),
                    (None, None) => arguments.work.push(work(id)?),
                },
            }
        }
        if is_growth {
            arguments.growth = Some(growth);
            return Ok(arguments);
        }
        if arguments.work.is_empty() && arguments.transfers.is_empty() && arguments.trials.is_empty() {
            arguments.work = WORK.iter().collect();
            arguments.transfers = TRANSFERS.to_vec();
        }
        Ok(arguments)
    }
}

fn rounds(text: &str) -> Result<u64, Error> {
    let rounds = text.parse().ok().filter(|rounds| (1..=ROUNDS_MAX).contains(rounds));
    rounds.ok_or_else(|| usage(format!("`{text}` is not a number from 1 to {ROUNDS_MAX}")))
}

fn count(text: &str) -> Result<u64, Error> {
    text.parse().map_err(|_| usage(format!("`{text}` is no number")))
}

fn work(id: &str) -> Result<&'static Work, Error> {
    let found = WORK.iter().find(|work| work.id.eq_ignore_ascii_case(id));
    let others = TRANSFERS.iter().map(|transfer| transfer.id()).chain(TRIALS.iter().map(|trial| trial.id()));
    let known: Vec<_> = WORK.iter().map(|work| work.id).chain(others).collect();
    let known = known.join(", ");
    found.ok_or_else(|| usage(format!("`{id}` is none of {known}")))
}

fn transfer(id: &str) -> Option<Transfer> {
    TRANSFERS.into_iter().find(|transfer| transfer.id().eq_ignore_ascii_case(id))
}

fn trial(id: &str) -> Option<Trial> {
    TRIALS.into_iter().find(|trial| trial.id().eq_ignore_ascii_case(id))
}

fn usage(problem: String) -> Error {
    Error::Usage { problem, usage: USAGE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Arguments, String> {
        let words = line.split_whitespace().map(str::to_owned);
        Arguments::parse(words)
            .map_err(|error| error.to_string().lines().next().unwrap_or_default().to_owned())
    }

    #[test]
    fn without_rows_all_are_measured() {
        let arguments = parse("--runs 3 --json out.json").expect("these are right");
        assert_eq!((arguments.work.len(), arguments.transfers.len()), (WORK.len(), TRANSFERS.len()));
        assert_eq!(arguments.trials, [], "they take too much");
        assert_eq!((arguments.rounds, arguments.json), (3, Some("out.json".into())));
    }

    #[test]
    fn growth_is_measured_alone() {
        let arguments = parse("growth --svg a.svg --count-max 1000").expect("these are right");
        assert_eq!((arguments.work.len(), arguments.transfers.len()), (0, 0));
        let growth = GrowthArguments { svg: Some("a.svg".into()), count_max: 1000 };
        assert_eq!(arguments.growth, Some(growth));
    }

    #[test]
    fn a_row_alone_is_measured_alone() {
        let arguments = parse("p8").expect("it is a row");
        assert_eq!((arguments.work.len(), arguments.transfers), (0, vec![Transfer::Pull]));
        let arguments = parse("P13 --gigabytes 2 --records 5000").expect("it is a row");
        assert_eq!(arguments.extent, Extent { records: 5_000, layer_gigabytes: 2 });
        let others = (arguments.work.len(), arguments.transfers.len());
        assert_eq!((others, arguments.trials), ((0, 0), vec![Trial::Collection]));
    }

    #[test]
    fn mistakes_are_named() {
        let problem = |line| parse(line).err().expect("these are wrong");
        assert_eq!(
            problem("P1 P0"),
            "`P0` is none of P1, P2, P2b, P3, P4, P4b, P5, P6, P7, P10, S27, S27b, P12, P12n, P8, P9, P13, P11, P12b, P1d"
        );
        assert_eq!(problem("--runs 0"), "`0` is not a number from 1 to 1000");
        assert_eq!(problem("--json"), "`--json` wants a value");
    }
}
