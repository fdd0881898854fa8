//! Groups of version 2: one hierarchy for all controllers.

use std::path::Path;
use std::time::Duration;

use super::{Account, Controller, Resources, Swap, keyed, number, set, set_first};
use crate::error::SandboxError;

/// Period of a quota that comes alone, in microseconds: the kernel's.
const PERIOD_US_DEFAULT: u64 = 100_000;

/// Writes the limits.
pub(super) fn limit(
    directory: &Path,
    controllers: &[Controller],
    resources: &Resources,
) -> Result<(), SandboxError> {
    for controller in controllers {
        match controller {
            Controller::Memory => memory(directory, resources)?,
            Controller::Cpu => cpu(directory, resources)?,
            Controller::CpuSet => {
                let files =
                    [("cpuset.cpus", &resources.cpuset_cpus), ("cpuset.mems", &resources.cpuset_mems)];
                for (file, value) in files.into_iter().filter(|(_, value)| !value.is_empty()) {
                    set(directory, file, value)?;
                }
            }
            Controller::Pids => {
                if let Some(max) = resources.pids_max {
                    set(directory, "pids.max", &max.to_string())?;
                }
            }
            Controller::Block => {
                if let Some(weight) = resources.block_weight {
                    let files = [
                        ("io.bfq.weight", weight.to_string()),
                        ("io.weight", format!("default {}", io_weight(weight))),
                    ];
                    set_first(directory, &files, "block weight")?;
                }
            }
            Controller::CpuAccount | Controller::Freezer => {}
        }
    }
    Ok(())
}

/// Stops everybody in a group where they are, or lets them go on.
pub(super) fn freeze(directory: &Path, is_frozen: bool) -> Result<(), SandboxError> {
    let wanted = u64::from(is_frozen);
    set(directory, "cgroup.freeze", &wanted.to_string())?;
    let is_there = || keyed(directory, "cgroup.events", "frozen") == Some(wanted);
    super::wait_for(is_there, || format!("write({directory:?}, \"{wanted}\")"))
}

fn memory(directory: &Path, resources: &Resources) -> Result<(), SandboxError> {
    if let Some(bytes) = resources.memory_reserved_bytes {
        set(directory, "memory.low", &bytes.to_string())?;
    }
    let Some(bytes) = resources.memory_bytes else { return Ok(()) };
    set(directory, "memory.max", &bytes.to_string())?;
    // Here swap is counted alone.
    const SWAP: &str = "memory.swap.max";
    match resources.memory_swap {
        Swap::Unlimited => Ok(()),
        Swap::Default if !directory.join(SWAP).exists() => Ok(()),
        Swap::Default => set(directory, SWAP, &bytes.to_string()),
        Swap::Bytes(swap) => {
            set_first(directory, &[(SWAP, swap.saturating_sub(bytes).to_string())], "memory and swap")
        }
    }
}

fn cpu(directory: &Path, resources: &Resources) -> Result<(), SandboxError> {
    if let Some(shares) = resources.cpu_shares {
        set(directory, "cpu.weight", &cpu_weight(shares).to_string())?;
    }
    let Resources { cpu_quota_us: quota, cpu_period_us: period, .. } = resources;
    if quota.is_none() && period.is_none() {
        return Ok(());
    }
    let quota = quota.map_or(String::from("max"), |quota| quota.to_string());
    set(directory, "cpu.max", &format!("{quota} {}", period.unwrap_or(PERIOD_US_DEFAULT)))
}

/// Shares (2 to 262144) on the scale of weights (1 to 10000), as the OCI runtimes convert them.
fn cpu_weight(shares: u64) -> u64 {
    1 + (shares.clamp(2, 262_144) - 2) * 9999 / 262_142
}

/// Block weights (10 to 1000) on the scale of version 2 (1 to 10000), as the OCI runtimes convert them.
fn io_weight(weight: u16) -> u64 {
    1 + (u64::from(weight.clamp(10, 1000)) - 10) * 9999 / 990
}

/// Adds what the group has counted.
pub(super) fn read(directory: &Path, account: &mut Account) {
    account.memory_peak_bytes = number(directory, "memory.peak").or(account.memory_peak_bytes);
    account.memory_limit_bytes = number(directory, "memory.max").or(account.memory_limit_bytes);
    account.memory_kills += keyed(directory, "memory.events", "oom_kill").unwrap_or(0);
    account.pids_refused += keyed(directory, "pids.events", "max").unwrap_or(0);
    let cpu = keyed(directory, "cpu.stat", "usage_usec").map(Duration::from_micros);
    account.cpu = cpu.or(account.cpu);
    account.block_bytes = block_bytes(directory).or(account.block_bytes);
}

/// Lines `MAJOR:MINOR rbytes=N wbytes=N ...`.
fn block_bytes(directory: &Path) -> Option<(u64, u64)> {
    let text = std::fs::read_to_string(directory.join("io.stat")).ok()?;
    let sum = |key: &str| -> u64 {
        text.split_whitespace().filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok()).sum()
    };
    Some((sum("rbytes="), sum("wbytes=")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_are_converted_as_by_the_oci_runtimes() {
        assert_eq!([2, 1024, 262_144].map(cpu_weight), [1, 39, 10_000]);
        assert_eq!([10, 500, 1000].map(io_weight), [1, 4950, 10_000]);
    }
}
