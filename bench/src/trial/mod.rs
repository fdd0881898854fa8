//! Promises with a number for each of them, and where others can do the same, what they need for it.

mod collection;
mod containers;
mod door;
mod memory;

use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::builder::Setup;
use crate::error::Error;

/// A group of promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trial {
    /// A store with many records, and their collection.
    Collection,
    /// What a large layer takes in memory.
    Memory,
    /// The commands for containers, many of them at once, and what they write.
    Containers,
    /// The daemon that serves clients of BuildKit.
    Door,
}

/// How large the trials are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    /// Of the store, in steps of a thousand.
    pub(crate) records: u64,
    pub(crate) layer_gigabytes: u64,
}

/// Everything that can be measured.
pub(crate) const TRIALS: [Trial; 4] = [Trial::Collection, Trial::Memory, Trial::Containers, Trial::Door];

/// What was measured of one trial.
pub(crate) struct TrialRow {
    pub(crate) trial: Trial,
    pub(crate) findings: Vec<Finding>,
}

/// One number.
pub(crate) struct Finding {
    pub(crate) what: String,
    pub(crate) amount: Amount,
    most: Option<Amount>,
}

/// How much of something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Amount {
    Time(Duration),
    Bytes(u64),
}

impl Trial {
    /// Its name in the project's targets.
    pub(crate) fn id(self) -> &'static str {
        match self {
            Self::Collection => "P13",
            Self::Memory => "P11",
            Self::Containers => "P12b",
            Self::Door => "P1d",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Collection => "a store with many records, and builds during their collection",
            Self::Memory => "a large layer, built, pushed, saved, loaded and pulled",
            Self::Door => "the daemon: cached builds, its memory, and its start after it was killed",
            Self::Containers => "containers that start, are entered and end, 200 at once, and their logs",
        }
    }

    /// Measures it. Everything is made below the directory of `setup`, and is gone afterwards.
    pub(crate) fn measure(self, setup: &Setup, rounds: u64, extent: Extent) -> Result<TrialRow, Error> {
        let directory = setup.directory.join(self.id());
        let setup = Setup { slipway: setup.slipway.clone(), base_tar: setup.base_tar.clone(), directory };
        let findings = match self {
            Self::Collection => collection::measure(&setup, rounds, extent.records)?,
            Self::Memory => memory::measure(&setup, extent.layer_gigabytes << 30)?,
            Self::Containers => containers::measure(&setup, rounds)?,
            Self::Door => door::measure(&setup, rounds)?,
        };
        std::fs::remove_dir_all(&setup.directory).map_err(Error::at(&setup.directory))?;
        Ok(TrialRow { trial: self, findings })
    }
}

impl TrialRow {
    pub(crate) fn json(&self) -> Value {
        let findings = self.findings.iter().map(|finding| match finding.amount {
            Amount::Time(time) => json!({"what": finding.what, "ms": time.as_secs_f64() * 1e3}),
            Amount::Bytes(bytes) => json!({"what": finding.what, "bytes": bytes}),
        });
        json!({
            "id": self.trial.id(),
            "title": self.trial.title(),
            "findings": findings.collect::<Vec<_>>(),
        })
    }
}

impl Finding {
    pub(crate) fn time(what: impl Into<String>, time: Duration) -> Self {
        Self { what: what.into(), amount: Amount::Time(time), most: None }
    }

    pub(crate) fn bytes(what: impl Into<String>, bytes: u64) -> Self {
        Self { what: what.into(), amount: Amount::Bytes(bytes), most: None }
    }

    /// It shall be no more than this.
    pub(crate) fn at_most(self, most: Amount) -> Self {
        Self { most: Some(most), ..self }
    }

    pub(crate) fn target(&self) -> String {
        self.most.map_or_else(|| "-".to_owned(), |most| most.to_string())
    }
}

impl fmt::Display for Amount {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Time(time) => write!(out, "{:.1} ms", time.as_secs_f64() * 1e3),
            Self::Bytes(bytes) => write!(out, "{:.1} MB", *bytes as f64 / 1e6),
        }
    }
}
