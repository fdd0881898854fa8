//! What happens during a build, as data.

use std::time::{Duration, SystemTime};

use image::Digest;

use crate::report::BuildReport;
use crate::why::Reason;

/// A step that people see, by the order in which it was announced, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId(pub u32);

/// One piece of news from a build. A step is announced before anything else is said of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// There is a step.
    Announced(Step),
    /// The step began.
    Started {
        /// Which.
        step: StepId,
        /// When.
        at: SystemTime,
    },
    /// The step's result was there already.
    Cached {
        /// Which.
        step: StepId,
        /// When that was known.
        at: SystemTime,
        /// How old the result is.
        age: Duration,
    },
    /// Why the step's result was not there. Told of the first step of a build that runs: those that follow mostly run
    /// because of it.
    Explained {
        /// Which.
        step: StepId,
        /// At least one.
        reasons: Vec<Reason>,
        /// When.
        at: SystemTime,
    },
    /// The step wrote something.
    Output {
        /// Which.
        step: StepId,
        /// Where to.
        stream: Stream,
        /// What; not necessarily whole lines.
        bytes: Vec<u8>,
        /// When.
        at: SystemTime,
    },
    /// A part of the step that can be measured moved on.
    Progressed {
        /// Which.
        step: StepId,
        /// The part: `transferring context`, `exporting layers`, ...
        part: String,
        /// Units done, bytes where it is about bytes.
        current: u64,
        /// Units in all, where known.
        total: Option<u64>,
        /// When.
        at: SystemTime,
    },
    /// The step ended.
    Completed {
        /// Which.
        step: StepId,
        /// When.
        at: SystemTime,
        /// Why it did not succeed.
        error: Option<String>,
    },
    /// The build has ended, well or not, and a report was asked for. The last event of a build.
    Reported(Box<BuildReport>),
    /// Something in the Dockerfile deserves a word.
    Warned {
        /// Name of the check.
        rule: String,
        /// One line.
        message: String,
        /// The message with the source line underlined.
        rendered: String,
    },
}

/// A step that people see: a vertex of the build or a job of the engine (`[internal] ...`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// By which other events name it.
    pub id: StepId,
    /// `[build 2/5] RUN make`.
    pub name: String,
    /// An identity for BuildKit's progress format.
    pub digest: Digest,
    /// Steps that come before it.
    pub inputs: Vec<StepId>,
}

/// Standard output or standard error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Takes the events of a build, from any thread, in order for each step.
pub type Progress = std::sync::Arc<dyn Fn(Event) + Send + Sync>;
