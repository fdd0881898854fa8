//! How to find out whether a container is well.

use std::time::Duration;

use engine::containers::HealthSettings;

use crate::output::parse_age;
use crate::report::Report;

/// Docker refuses shorter times.
const TIME_MIN: Duration = Duration::from_millis(1);

/// The options.
#[derive(Debug, clap::Args)]
pub(crate) struct HealthArgs {
    /// Command to run to check health
    #[arg(long, value_name = "COMMAND")]
    health_cmd: Option<String>,
    /// Time between running the check (ms|s|m|h) (default 30s)
    #[arg(long, value_name = "DURATION", value_parser = parse_time)]
    health_interval: Option<i64>,
    /// Consecutive failures needed to report unhealthy (default 3)
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(i64).range(0..))]
    health_retries: Option<i64>,
    /// Time between running the check during the start period (ms|s|m|h) (default 5s)
    #[arg(long, value_name = "DURATION", value_parser = parse_time)]
    health_start_interval: Option<i64>,
    /// Start period for the container to initialize before starting health-retries countdown (ms|s|m|h) (default 0s)
    #[arg(long, value_name = "DURATION", value_parser = parse_time)]
    health_start_period: Option<i64>,
    /// Maximum time to allow one check to run (ms|s|m|h) (default 30s)
    #[arg(long, value_name = "DURATION", value_parser = parse_time)]
    health_timeout: Option<i64>,
    /// Disable any container-specified HEALTHCHECK
    #[arg(long)]
    no_healthcheck: bool,
}

impl HealthArgs {
    pub(super) fn settings(self) -> Result<HealthSettings, Report> {
        let settings = HealthSettings {
            is_disabled: self.no_healthcheck,
            command: self.health_cmd,
            interval_ns: self.health_interval,
            timeout_ns: self.health_timeout,
            start_period_ns: self.health_start_period,
            start_interval_ns: self.health_start_interval,
            retries: self.health_retries,
        };
        let has_others =
            HealthSettings { is_disabled: false, ..settings.clone() } != HealthSettings::default();
        if settings.is_disabled && has_others {
            return Err(Report::mistake("--no-healthcheck conflicts with --health-* options"));
        }
        Ok(settings)
    }
}

/// Nanoseconds.
fn parse_time(text: &str) -> Result<i64, String> {
    match parse_age(text)? {
        Duration::ZERO => Ok(0),
        time if time < TIME_MIN => Err("cannot be less than 1ms".to_owned()),
        time => i64::try_from(time.as_nanos()).map_err(|_| "is too long".to_owned()),
    }
}
