//! Groups of version 1: a hierarchy for each controller.

use std::path::Path;
use std::time::Duration;

use super::{Account, Controller, Resources, Swap, keyed, number, set, set_first};
use crate::error::{OrKernel, SandboxError};

/// Limits of memory and swap together; absent where the kernel does not count swap.
const MEMORY_AND_SWAP: &str = "memory.memsw.limit_in_bytes";

/// More than any machine has: how the kernel writes that there is no limit.
const UNLIMITED_BYTES: u64 = 1 << 60;

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
            Controller::CpuSet => cpuset(directory, resources)?,
            Controller::Pids => {
                if let Some(max) = resources.pids_max {
                    set(directory, "pids.max", &max.to_string())?;
                }
            }
            Controller::Block => {
                if let Some(weight) = resources.block_weight {
                    let files = ["blkio.weight", "blkio.bfq.weight"].map(|file| (file, weight.to_string()));
                    set_first(directory, &files, "block weight")?;
                }
            }
            Controller::CpuAccount | Controller::Freezer => {}
        }
    }
    Ok(())
}

/// Stops everybody in a group where they are, or lets them go on, see the kernel's `cgroup-v1/freezer-subsystem`.
pub(super) fn freeze(directory: &Path, is_frozen: bool) -> Result<(), SandboxError> {
    let wanted = if is_frozen { "FROZEN" } else { THAWED };
    set(directory, FREEZER_STATE, wanted)?;
    let is_there = || {
        let state = std::fs::read_to_string(directory.join(FREEZER_STATE)).unwrap_or_default();
        state.trim() == wanted
    };
    super::wait_for(is_there, || format!("write({directory:?}, {wanted:?})"))
}

/// Lets everybody in a group go on, if that group can be frozen.
pub(super) fn thaw(directory: &Path) {
    let state = directory.join(FREEZER_STATE);
    if state.exists() {
        // Nobody is left who could be told.
        let _ = std::fs::write(state, THAWED);
    }
}

const FREEZER_STATE: &str = "freezer.state";
const THAWED: &str = "THAWED";

fn memory(directory: &Path, resources: &Resources) -> Result<(), SandboxError> {
    if let Some(bytes) = resources.memory_reserved_bytes {
        set(directory, "memory.soft_limit_in_bytes", &bytes.to_string())?;
    }
    let Some(bytes) = resources.memory_bytes else { return Ok(()) };
    set(directory, "memory.limit_in_bytes", &bytes.to_string())?;
    let counts_swap = directory.join(MEMORY_AND_SWAP).exists();
    match resources.memory_swap {
        Swap::Unlimited => Ok(()),
        Swap::Default if !counts_swap => Ok(()),
        Swap::Default => set(directory, MEMORY_AND_SWAP, &bytes.saturating_mul(2).to_string()),
        Swap::Bytes(swap) => set_first(directory, &[(MEMORY_AND_SWAP, swap.to_string())], "memory and swap"),
    }
}

fn cpu(directory: &Path, resources: &Resources) -> Result<(), SandboxError> {
    if let Some(shares) = resources.cpu_shares {
        set(directory, "cpu.shares", &shares.to_string())?;
    }
    if let Some(period) = resources.cpu_period_us {
        set(directory, "cpu.cfs_period_us", &period.to_string())?;
    }
    match resources.cpu_quota_us {
        Some(quota) => set(directory, "cpu.cfs_quota_us", &quota.to_string()),
        None => Ok(()),
    }
}

/// A new group has neither processors nor memory, and nobody can join it before it has both.
fn cpuset(directory: &Path, resources: &Resources) -> Result<(), SandboxError> {
    let parent = directory.parent().expect("a group is in a hierarchy");
    let files = [("cpuset.cpus", &resources.cpuset_cpus), ("cpuset.mems", &resources.cpuset_mems)];
    for (file, wanted) in files {
        let inherited = inherited(parent, file)?;
        set(directory, file, if wanted.is_empty() { &inherited } else { wanted })?;
    }
    Ok(())
}

/// What a group has of a set. One that was just made for `--cgroup-parent` has nothing, and is given what is above it.
fn inherited(group: &Path, file: &str) -> Result<String, SandboxError> {
    let path = group.join(file);
    let text = std::fs::read_to_string(&path).or_kernel(|| format!("read({path:?})"))?;
    if !text.trim().is_empty() {
        return Ok(text.trim().to_owned());
    }
    let above = group.parent().map_or_else(|| Ok(String::new()), |parent| inherited(parent, file))?;
    set(group, file, &above)?;
    Ok(above)
}

/// Adds what this hierarchy has counted.
pub(super) fn read(directory: &Path, controllers: &[Controller], account: &mut Account) {
    for controller in controllers {
        match controller {
            Controller::Memory => {
                account.memory_peak_bytes = number(directory, "memory.max_usage_in_bytes");
                account.memory_limit_bytes =
                    number(directory, "memory.limit_in_bytes").filter(|bytes| *bytes < UNLIMITED_BYTES);
                account.memory_kills = keyed(directory, "memory.oom_control", "oom_kill").unwrap_or(0);
            }
            Controller::CpuAccount => {
                account.cpu = number(directory, "cpuacct.usage").map(Duration::from_nanos);
            }
            Controller::Pids => account.pids_refused = keyed(directory, "pids.events", "max").unwrap_or(0),
            Controller::Block => account.block_bytes = block_bytes(directory),
            Controller::Cpu | Controller::CpuSet | Controller::Freezer => {}
        }
    }
}

/// Lines `MAJOR:MINOR Read BYTES` and the like.
fn block_bytes(directory: &Path) -> Option<(u64, u64)> {
    let path = directory.join("blkio.throttle.io_service_bytes_recursive");
    let text = std::fs::read_to_string(path).ok()?;
    let sum = |word: &str| -> u64 {
        text.lines().filter_map(|line| line.split_once(word)?.1.trim().parse::<u64>().ok()).sum()
    };
    Some((sum(" Read "), sum(" Write ")))
}
