//! What a build did and how long it took, as data: `build --report`.
//!
//! The JSON is described in `docs/report.md`. Times are in microseconds; points in time count from the beginning of
//! the build.

mod critical_path;
mod make;
mod meter;

use serde::Serialize;

use crate::why::Reason;

pub(crate) use make::Ended;
pub use make::Reporting;
pub(crate) use meter::Meter;

/// The version of the JSON. It grows when a field changes its meaning or goes; new fields do not count.
pub const VERSION: u32 = 1;

/// A build that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BuildReport {
    /// [`VERSION`].
    pub version: u32,
    /// The id of the build, as in `slipway why`.
    pub build: String,
    /// The directory of its context, or where that comes from.
    pub context: String,
    /// The stage that was asked for.
    pub target: Option<String>,
    /// The platform of the image.
    pub platform: String,
    /// The names that the image got.
    pub tags: Vec<String>,
    /// The id of the image; none when the build failed.
    pub image: Option<String>,
    /// Why there is none.
    pub error: Option<String>,
    /// When the build began, in nanoseconds since 1970.
    pub began_unix_ns: i64,
    /// How long it took.
    pub duration_us: u64,
    /// The steps that decided how long it took, by their numbers, in order of time: each waited for the one before it.
    pub critical_path: Vec<u32>,
    /// All steps, in the order in which they were announced.
    pub steps: Vec<ReportedStep>,
}

/// A step of a build.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportedStep {
    /// By which other steps name it; from 1.
    pub number: u32,
    /// `[build 2/5] RUN make`
    pub name: String,
    /// How it ended.
    pub result: StepResult,
    /// What it builds on or reads, by numbers; first what it continues.
    pub inputs: Vec<u32>,
    /// Which of them it waited for longest, when it had to wait.
    pub waited_for: Option<u32>,
    /// When it began: all inputs were there.
    pub began_us: Option<u64>,
    /// When it ended.
    pub ended_us: Option<u64>,
    /// How long it waited for its turn, or for another process that was at the same step.
    pub queue_us: u64,
    /// How long it took to digest what it reads, for its key.
    pub hash_us: u64,
    /// How long its process, its copying or its download took.
    pub run_us: u64,
    /// How long it took to make a layer of the result and a record of the layer.
    pub commit_us: u64,
    /// How long it took to digest the layer for the image, beside later steps.
    pub digest_us: u64,
    /// The size of the files in its layer.
    pub layer_bytes: Option<u64>,
    /// What its process used.
    pub usage: Option<StepUsage>,
    /// The key by which its result is found; for a source, who it is.
    pub key: Option<String>,
    /// How old its result is, when it was there.
    pub age_s: Option<u64>,
    /// How long it took elsewhere, when its result is from a remote cache that knows.
    pub saved_us: Option<u64>,
    /// Why it was not.
    pub reasons: Vec<ReportedReason>,
    /// Why it failed.
    pub error: Option<String>,
}

/// How a step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StepResult {
    /// A base image, a context, a file or a repository from elsewhere.
    Source,
    /// Its result was there.
    Cached,
    /// It ran.
    Ran,
    /// It ran, and did not come to a good end.
    Failed,
    /// Nobody needed it.
    NotNeeded,
    /// A job of the engine's own.
    Internal,
}

/// What a process and all that it started used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct StepUsage {
    /// Time on processors.
    pub cpu_us: u64,
    /// The most memory at one time: of all processes together, with the page cache, where there is a control group;
    /// else of the largest process.
    pub memory_peak_bytes: u64,
    /// Bytes read from devices.
    pub read_bytes: u64,
    /// Bytes written to devices.
    pub written_bytes: u64,
    /// Who counted.
    pub counted_by: CountedBy,
}

/// Who counted what a process used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum CountedBy {
    /// The control group of the step, see cgroups(7).
    ControlGroup,
    /// The kernel's account of a process and its children, see wait4(2): what the process left to others is not in.
    Process,
}

/// A reason, as data and as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReportedReason {
    /// As data.
    #[serde(flatten)]
    pub reason: Reason,
    /// As a sentence without its subject, which is the step.
    pub text: String,
}

impl From<Reason> for ReportedReason {
    fn from(reason: Reason) -> Self {
        Self { text: reason.to_string(), reason }
    }
}

impl BuildReport {
    /// The step with this number.
    pub fn step(&self, number: u32) -> Option<&ReportedStep> {
        self.steps.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }
}

impl ReportedStep {
    /// How long it took.
    pub fn duration_us(&self) -> u64 {
        match (self.began_us, self.ended_us) {
            (Some(began), Some(ended)) => ended.saturating_sub(began),
            _ => 0,
        }
    }
}
