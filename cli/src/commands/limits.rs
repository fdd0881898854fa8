//! Limits on what a container, or each step of a build, uses.

use engine::{Resources, Swap};

use super::prune::parse_size;

/// Microseconds in the period in which `--cpus` counts.
const PERIOD_US: f64 = 100_000.0;

/// The options of `build` and of `run`.
#[derive(Debug, clap::Args)]
pub(crate) struct LimitArgs {
    /// Memory limit
    #[arg(short, long, value_name = "BYTES", value_parser = parse_size)]
    memory: Option<u64>,
    /// Swap limit equal to memory plus swap: "-1" to enable unlimited swap
    #[arg(long, value_name = "BYTES", value_parser = parse_swap, allow_hyphen_values = true)]
    memory_swap: Option<Swap>,
    /// CPU shares (relative weight)
    #[arg(short, long, value_name = "WEIGHT")]
    cpu_shares: Option<u64>,
    /// Limit the CPU CFS (Completely Fair Scheduler) quota, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_quota: Option<u64>,
    /// Limit the CPU CFS (Completely Fair Scheduler) period, in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    cpu_period: Option<u64>,
    /// CPUs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    cpuset_cpus: String,
    /// MEMs in which to allow execution (0-3, 0,1)
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true)]
    cpuset_mems: String,
    /// Parent control group; the caller's own otherwise
    #[arg(long, value_name = "GROUP", default_value = "", hide_default_value = true)]
    cgroup_parent: String,
}

/// The options of `run` alone.
#[derive(Debug, clap::Args)]
pub(crate) struct ContainerLimitArgs {
    #[command(flatten)]
    common: LimitArgs,
    /// Block IO (relative weight), between 10 and 1000
    #[arg(long, value_name = "WEIGHT")]
    blkio_weight: Option<u16>,
    /// Memory soft limit
    #[arg(long, value_name = "BYTES", value_parser = parse_size)]
    memory_reservation: Option<u64>,
    /// Number of CPUs
    #[arg(long, value_name = "NUMBER", value_parser = parse_cpus, conflicts_with_all = ["cpu_quota", "cpu_period"])]
    cpus: Option<u64>,
    /// Limit the number of processes and threads
    #[arg(long, value_name = "NUMBER")]
    pids_limit: Option<u64>,
}

impl From<LimitArgs> for Resources {
    fn from(args: LimitArgs) -> Self {
        Self {
            memory_bytes: args.memory,
            memory_swap: args.memory_swap.unwrap_or_default(),
            cpu_shares: args.cpu_shares,
            cpu_quota_us: args.cpu_quota,
            cpu_period_us: args.cpu_period,
            cpuset_cpus: args.cpuset_cpus,
            cpuset_mems: args.cpuset_mems,
            parent: args.cgroup_parent,
            ..Self::default()
        }
    }
}

impl From<ContainerLimitArgs> for Resources {
    fn from(args: ContainerLimitArgs) -> Self {
        let common = Self::from(args.common);
        Self {
            cpu_quota_us: args.cpus.or(common.cpu_quota_us),
            block_weight: args.blkio_weight,
            memory_reserved_bytes: args.memory_reservation,
            pids_max: args.pids_limit,
            ..common
        }
    }
}

/// Bytes, or -1 for no limit.
fn parse_swap(text: &str) -> Result<Swap, String> {
    if text == "-1" { Ok(Swap::Unlimited) } else { parse_size(text).map(Swap::Bytes) }
}

/// `1.5` CPUs, as microseconds in each period.
fn parse_cpus(text: &str) -> Result<u64, String> {
    match text.parse::<f64>() {
        Ok(cpus) if cpus.is_finite() && cpus >= 0.01 => Ok((cpus * PERIOD_US) as u64),
        _ => Err("expected a number of CPUs, 0.01 or more".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpus_are_time_in_a_period() {
        assert_eq!(parse_cpus("1.5"), Ok(150_000));
        for wrong in ["0", "-1", "x", "inf"] {
            assert!(parse_cpus(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn swap_may_be_unlimited() {
        assert_eq!(parse_swap("-1"), Ok(Swap::Unlimited));
        assert_eq!(parse_swap("1g"), Ok(Swap::Bytes(1 << 30)));
        assert!(parse_swap("-2").is_err());
    }
}
