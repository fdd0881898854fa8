//! Looks how the container is, as its health check says.

use std::time::{Duration, Instant};

use executor::Spec;
use image::Healthcheck;

use super::{Monitor, Source};
use crate::containers::home::now_unix_ns;
use crate::containers::signal::KILL;
use crate::containers::state::{Health, HealthResult, Status};
use crate::containers::wire::Streams;

/// Docker's defaults.
const INTERVAL: Duration = Duration::from_secs(30);
const TIMEOUT: Duration = Duration::from_secs(30);
const START_INTERVAL: Duration = Duration::from_secs(5);
const RETRIES: i64 = 3;
/// How many checks are remembered, and how much of what each has said, as in Docker.
const CHECKS_MAX: usize = 5;
const OUTPUT_BYTES_MAX: usize = 4096;
/// The code of a check that took too long.
const TIMED_OUT: i32 = -1;

const STARTING: &str = "starting";
const HEALTHY: &str = "healthy";
const UNHEALTHY: &str = "unhealthy";

/// The checks of a container that runs.
pub(super) struct Checkup {
    check: Healthcheck,
    began: Instant,
    next: Instant,
    probe: Option<Probe>,
}

/// A check that runs.
struct Probe {
    source: Source,
    start_unix_ns: i64,
    deadline: Instant,
    timed_out: bool,
    output: Vec<u8>,
}

impl Checkup {
    fn new(check: Healthcheck) -> Self {
        let began = Instant::now();
        let mut checkup = Self { check, began, next: began, probe: None };
        checkup.next = began + checkup.interval(STARTING, began);
        checkup
    }

    /// Between two checks. While it starts they may come faster.
    fn interval(&self, status: &str, now: Instant) -> Duration {
        let is_starting =
            status == STARTING && now < self.began + time(self.check.start_period, Duration::ZERO);
        if is_starting {
            return time(self.check.start_interval, START_INTERVAL).min(time(self.check.interval, INTERVAL));
        }
        time(self.check.interval, INTERVAL)
    }

    /// What a check says, if this is one.
    pub(super) fn hear(&mut self, source: Source, bytes: &[u8]) {
        if let Some(probe) = self.probe.as_mut().filter(|probe| probe.source == source) {
            let room = OUTPUT_BYTES_MAX - probe.output.len();
            probe.output.extend_from_slice(&bytes[..bytes.len().min(room)]);
        }
    }
}

/// A duration of a config: 0 is the default.
fn time(nanoseconds: i64, default: Duration) -> Duration {
    match u64::try_from(nanoseconds) {
        Ok(0) | Err(_) => default,
        Ok(nanoseconds) => Duration::from_nanos(nanoseconds),
    }
}

/// What to run for a check; none if it is none.
fn argv(check: &Healthcheck) -> Option<Vec<String>> {
    match check.test.split_first() {
        Some((word, rest)) if word == "CMD" && !rest.is_empty() => Some(rest.to_vec()),
        Some((word, rest)) if word == "CMD-SHELL" => {
            Some(vec!["/bin/sh".to_owned(), "-c".to_owned(), rest.join(" ")])
        }
        _ => None,
    }
}

impl Monitor {
    /// The container has been started.
    pub(super) fn begin_checkups(&mut self) {
        let check = self.config.healthcheck.clone().filter(|check| argv(check).is_some());
        self.state.health =
            check.as_ref().map(|_| Health { status: STARTING.to_owned(), ..Health::default() });
        self.checkup = check.map(Checkup::new);
    }

    /// When to look again.
    pub(super) fn next_checkup(&self) -> Option<Instant> {
        let checkup = self.checkup.as_ref()?;
        match &checkup.probe {
            Some(probe) if probe.timed_out => None,
            Some(probe) => Some(probe.deadline),
            None => Some(checkup.next),
        }
    }

    /// Begins a check that is due, and ends one that takes too long.
    pub(super) fn check_health(&mut self, now: Instant) {
        if self.next_checkup().is_none_or(|at| at > now) {
            return;
        }
        let Some(checkup) = &mut self.checkup else { return };
        if let Some(probe) = &mut checkup.probe {
            probe.timed_out = true;
            let source = probe.source;
            if let Some(exec) = self.execs.iter().find(|exec| Source::Exec(exec.number) == source) {
                exec.companion.signal(KILL);
            }
            return;
        }
        // Who stands still is neither well nor not.
        checkup.next = now + time(checkup.check.interval, INTERVAL);
        if self.state.status == Status::Running {
            self.begin_probe(now);
        }
    }

    fn begin_probe(&mut self, now: Instant) {
        let (Some(beginning), Some(checkup)) = (&self.beginning, &self.checkup) else { return };
        let argv = argv(&checkup.check).unwrap_or_default();
        let spec = Spec { argv, ..beginning.spec.clone() };
        let deadline = now + time(checkup.check.timeout, TIMEOUT);
        let start_unix_ns = now_unix_ns();
        match self.start_exec(&spec, None, Streams::default()) {
            Ok(exec) => {
                let source = Source::Exec(exec.number);
                self.execs.push(exec);
                let probe = Probe { source, start_unix_ns, deadline, timed_out: false, output: Vec::new() };
                if let Some(checkup) = &mut self.checkup {
                    checkup.probe = Some(probe);
                }
            }
            Err(reply) => {
                let output = reply.problem();
                let exit_code = TIMED_OUT;
                self.note_check(HealthResult {
                    start_unix_ns,
                    end_unix_ns: now_unix_ns(),
                    exit_code,
                    output,
                });
            }
        }
    }

    /// A further command has ended; perhaps it was a check.
    pub(super) fn end_checkup(&mut self, source: Source, code: i32) {
        let Some(checkup) = &mut self.checkup else { return };
        let Some(probe) = checkup.probe.take_if(|probe| probe.source == source) else { return };
        let (exit_code, output) = if probe.timed_out {
            let timeout = time(checkup.check.timeout, TIMEOUT);
            (TIMED_OUT, format!("Health check exceeded timeout ({timeout:?})"))
        } else {
            (code, String::from_utf8_lossy(&probe.output).into_owned())
        };
        let (start_unix_ns, end_unix_ns) = (probe.start_unix_ns, now_unix_ns());
        self.note_check(HealthResult { start_unix_ns, end_unix_ns, exit_code, output });
    }

    fn note_check(&mut self, result: HealthResult) {
        let now = Instant::now();
        let (Some(checkup), Some(health)) = (&mut self.checkup, &mut self.state.health) else { return };
        let is_well = result.exit_code == 0;
        let before = health.status.clone();
        let retries = if checkup.check.retries > 0 { checkup.check.retries } else { RETRIES };
        let starts = health.status == STARTING
            && now < checkup.began + time(checkup.check.start_period, Duration::ZERO);
        if is_well {
            health.failing_streak = 0;
            health.status = HEALTHY.to_owned();
        } else if !starts {
            health.failing_streak += 1;
            if health.failing_streak >= retries {
                health.status = UNHEALTHY.to_owned();
            }
        }
        health.checks.push(result);
        let surplus = health.checks.len().saturating_sub(CHECKS_MAX);
        health.checks.drain(..surplus);
        checkup.next = now + checkup.interval(&health.status, now);
        let changed = (health.status != before).then(|| format!("health_status: {}", health.status));
        self.note();
        if let Some(action) = changed {
            self.tell(&action).note(self.home.root());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(test: &[&str]) -> Healthcheck {
        Healthcheck { test: test.iter().map(ToString::to_string).collect(), ..Healthcheck::default() }
    }

    #[test]
    fn checks_are_commands_or_for_the_shell() {
        assert_eq!(argv(&check(&["CMD", "a", "b"])).unwrap(), ["a", "b"]);
        assert_eq!(argv(&check(&["CMD-SHELL", "a | b"])).unwrap(), ["/bin/sh", "-c", "a | b"]);
        assert_eq!(argv(&check(&["NONE"])), None);
        assert_eq!(argv(&check(&[])), None);
    }

    #[test]
    fn checks_come_faster_while_a_container_starts() {
        let second = 1_000_000_000;
        let check = Healthcheck { start_period: 60 * second, interval: 10 * second, ..check(&["CMD", "a"]) };
        let checkup = Checkup::new(check);
        let later = checkup.began + Duration::from_secs(61);
        assert_eq!(checkup.interval(STARTING, checkup.began), START_INTERVAL);
        assert_eq!(checkup.interval(STARTING, later), Duration::from_secs(10));
        assert_eq!(checkup.interval(HEALTHY, checkup.began), Duration::from_secs(10));
    }
}
