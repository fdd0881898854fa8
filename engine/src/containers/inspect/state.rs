//! `State`: what has become of a container.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};

use crate::containers::{Health, HealthResult, State, Status};

/// Go's zero time, for what has not happened.
const NEVER: &str = "0001-01-01T00:00:00Z";

/// `State`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct InspectedState {
    /// `created`, `running`, `paused`, `restarting`, `exited`.
    pub status: String,
    /// Whether it runs; also while it is paused.
    pub running: bool,
    /// Whether it stands still.
    pub paused: bool,
    /// Whether its restart policy is about to start it.
    pub restarting: bool,
    /// Whether memory ran out.
    #[serde(rename = "OOMKilled")]
    pub oom_killed: bool,
    /// Always false.
    pub dead: bool,
    /// 0 unless it runs.
    pub pid: i32,
    /// The last one.
    pub exit_code: i32,
    /// Why it did not start.
    pub error: String,
    /// RFC 3339.
    pub started_at: String,
    /// RFC 3339.
    pub finished_at: String,
    /// How it is, if somebody looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub health: Option<Value>,
}

fn inspected_health(health: &Health) -> Value {
    let check = |check: &HealthResult| {
        json!({
            "Start": time(check.start_unix_ns),
            "End": time(check.end_unix_ns),
            "ExitCode": check.exit_code,
            "Output": check.output,
        })
    };
    json!({
        "Status": health.status,
        "FailingStreak": health.failing_streak,
        "Log": health.checks.iter().map(check).collect::<Vec<_>>(),
    })
}

impl InspectedState {
    pub(super) fn of(state: &State) -> Self {
        Self {
            status: state.status.name().to_owned(),
            running: state.status.is_alive(),
            paused: state.status == Status::Paused,
            restarting: state.status == Status::Restarting,
            oom_killed: state.oom_killed,
            dead: false,
            pid: state.pid,
            exit_code: state.exit_code,
            error: state.error.clone(),
            started_at: time(state.started_unix_ns),
            finished_at: time(state.finished_unix_ns),
            health: state.health.as_ref().map(inspected_health),
        }
    }
}

pub(super) fn time(unix_ns: i64) -> String {
    if unix_ns == 0 {
        return NEVER.to_owned();
    }
    Timestamp::from_nanosecond(i128::from(unix_ns)).map_or_else(|_| NEVER.to_owned(), |time| time.to_string())
}
