//! What has become of a container: written by its monitor, read by everybody.

use serde::{Deserialize, Serialize};

use crate::networks::PublishedPort;

/// Where in its life a container is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It has not run yet, or could not be started.
    #[default]
    Created,
    /// It runs.
    Running,
    /// It stands still.
    Paused,
    /// It has ended, and will be started again in a moment.
    Restarting,
    /// It has ended.
    Exited,
}

impl Status {
    /// Docker's word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Paused => "paused",
            Self::Restarting => "restarting",
            Self::Exited => "exited",
        }
    }

    /// Whether a monitor keeps the container.
    pub fn is_alive(self) -> bool {
        matches!(self, Self::Running | Self::Paused | Self::Restarting)
    }
}

/// What is known of a container beside what it is to be.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct State {
    /// Where in its life it is.
    pub status: Status,
    /// The number of its first process, while it runs.
    pub pid: i32,
    /// What it ended with the last time.
    pub exit_code: i32,
    /// Why it could not be started, empty otherwise.
    pub error: String,
    /// Whether the kernel killed one of its processes because there was no memory left for it.
    pub oom_killed: bool,
    /// When it was started the last time, in nanoseconds since 1970; 0 before the first.
    pub started_unix_ns: i64,
    /// When it ended the last time.
    pub finished_unix_ns: i64,
    /// How often its restart policy has started it again.
    pub restart_count: u32,
    /// Ports of the host that lead to it, while it runs.
    pub ports: Vec<PublishedPort>,
    /// Whether somebody stopped it, so that its restart policy rests.
    pub is_stopped_by_hand: bool,
    /// How it is, if somebody looks.
    pub health: Option<Health>,
}

/// How a container is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Health {
    /// `starting`, `healthy` or `unhealthy`.
    pub status: String,
    /// Failures in a row.
    pub failing_streak: i64,
    /// The last checks, the newest last.
    pub checks: Vec<HealthResult>,
}

/// One check.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthResult {
    /// When it began, in nanoseconds since 1970.
    pub start_unix_ns: i64,
    /// When it ended.
    pub end_unix_ns: i64,
    /// 0 is well; -1 took too long.
    pub exit_code: i32,
    /// What it has said.
    pub output: String,
}

/// What a process ends with that the kernel has killed with SIGKILL.
pub(crate) const EXIT_KILLED: i32 = 128 + 9;

impl State {
    /// What is true of a container whose monitor is gone without a word: the kernel killed it with the monitor.
    pub(crate) fn without_monitor(&self, now_unix_ns: i64) -> Self {
        if !self.status.is_alive() {
            return self.clone();
        }
        Self {
            status: Status::Exited,
            pid: 0,
            exit_code: EXIT_KILLED,
            finished_unix_ns: now_unix_ns,
            ports: Vec::new(),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn state_v1_never_changes() {
        let state = State { status: Status::Running, pid: 7, started_unix_ns: 5, ..State::default() };
        insta::assert_snapshot!(serde_json::to_string(&state).unwrap(), @r#"{"status":"running","pid":7,"exit_code":0,"error":"","oom_killed":false,"started_unix_ns":5,"finished_unix_ns":0,"restart_count":0,"ports":[],"is_stopped_by_hand":false,"health":null}"#);
    }

    #[test]
    fn without_its_monitor_nothing_runs() {
        let running = State { status: Status::Running, pid: 7, ..State::default() };
        let gone = running.without_monitor(9);
        assert_eq!(
            (gone.status, gone.pid, gone.exit_code, gone.finished_unix_ns),
            (Status::Exited, 0, 137, 9)
        );
        let exited = State { status: Status::Exited, exit_code: 3, ..State::default() };
        assert_eq!(exited.without_monitor(9), exited);
    }
}
