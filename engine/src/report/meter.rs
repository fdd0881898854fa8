//! Measures the parts of each step while a build goes on.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use cache::LayerId;
use executor::Outcome;
use graph::VertexId;

use super::{CountedBy, StepUsage};

/// What was measured of one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Measured {
    pub(crate) queue: Duration,
    pub(crate) hash: Duration,
    pub(crate) run: Duration,
    pub(crate) commit: Duration,
    pub(crate) digest: Duration,
    pub(crate) usage: Option<StepUsage>,
    /// The layers that it brings.
    pub(crate) layers: Vec<LayerId>,
}

/// The measurements of a build.
#[derive(Debug, Default)]
pub(crate) struct Meter(Mutex<BTreeMap<VertexId, Measured>>);

impl Meter {
    /// Adds to what was measured of a step.
    pub(crate) fn add(&self, id: VertexId, add: impl FnOnce(&mut Measured)) {
        add(self.0.lock().expect("no holder of the lock panics").entry(id).or_default());
    }

    /// Adds the time since `begin` to a part of a step.
    pub(crate) fn since(
        &self,
        id: VertexId,
        begin: Instant,
        part: impl FnOnce(&mut Measured) -> &mut Duration,
    ) {
        self.add(id, |measured| *part(measured) += begin.elapsed());
    }

    /// How long a step took to come to its result.
    pub(crate) fn took(&self, id: VertexId) -> Duration {
        let measured = self.of(id);
        measured.run + measured.commit
    }

    /// What was measured of a step.
    pub(super) fn of(&self, id: VertexId) -> Measured {
        self.0.lock().expect("no holder of the lock panics").get(&id).cloned().unwrap_or_default()
    }
}

impl StepUsage {
    /// What a process used, as far as its control groups counted it, and else as its parent was told.
    pub(crate) fn of(outcome: &Outcome) -> Self {
        let Outcome { exit: _, usage, account } = outcome;
        let account = account.unwrap_or_default();
        let (read_bytes, written_bytes) =
            account.block_bytes.unwrap_or((usage.read_bytes, usage.written_bytes));
        Self {
            cpu_us: microseconds(account.cpu.unwrap_or(usage.user + usage.system)),
            memory_peak_bytes: account.memory_peak_bytes.unwrap_or(usage.max_rss_bytes),
            read_bytes,
            written_bytes,
            counted_by: match account.memory_peak_bytes {
                Some(_) => CountedBy::ControlGroup,
                None => CountedBy::Process,
            },
        }
    }
}

pub(super) fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
