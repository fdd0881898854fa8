//! What the processes of a container use, as the kernel tells it of each.
//!
//! Containers have control groups only when they have limits, so the numbers come from proc(5).

use std::fs;
use std::time::Instant;

use super::error::ContainerError;
use super::{Container, Status};
use crate::Engine;

/// Clock ticks of a second in what the kernel tells processes: `USER_HZ`, see time(7).
const TICKS_PER_SECOND: u64 = 100;
const NANOSECONDS_PER_SECOND: u64 = 1_000_000_000;
const KILOBYTE: u64 = 1024;
/// Where the kernel says how much memory there is.
const MEMORY: &str = "/proc/meminfo";

/// What a container has used so far, and has in use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContainerUsage {
    /// When somebody looked.
    pub at: Instant,
    /// Processor time since it was started, those of its processes included that have ended.
    pub cpu_ns: u64,
    /// Memory of its processes. What several share counts once, where we may know.
    pub memory_bytes: u64,
    /// What it may have: its limit, or all there is.
    pub memory_bytes_max: u64,
    /// Bytes received from its network, without its loopback interface; 0 in the host's network.
    pub received_bytes: u64,
    /// Bytes sent to it.
    pub sent_bytes: u64,
    /// Bytes read from disks; none where we may not know.
    pub read_bytes: Option<u64>,
    /// Bytes written to them.
    pub written_bytes: Option<u64>,
    /// Its processes.
    pub processes: usize,
}

impl Engine {
    /// What a container uses; none of one that does not run.
    ///
    /// # Errors
    ///
    /// When its monitor does not answer.
    pub fn container_usage(&self, container: &Container) -> Result<Option<ContainerUsage>, ContainerError> {
        if !matches!(container.state.status, Status::Running | Status::Paused) {
            return Ok(None);
        }
        let members = match self.container_processes(&container.config.id) {
            Ok(members) => members,
            Err(ContainerError::NotRunning { .. } | ContainerError::NoSuchContainer { .. }) => {
                return Ok(None);
            }
            Err(error) => return Err(error),
        };
        let settings = &container.config.settings;
        let file = |pid: &i32, name: &str| fs::read_to_string(format!("/proc/{pid}/{name}")).ok();
        let sum = |of: &dyn Fn(&i32) -> Option<u64>| members.iter().filter_map(of).sum::<u64>();
        let disk = |field| {
            let counts: Vec<u64> =
                members.iter().filter_map(|pid| field_of(&file(pid, "io")?, field)).collect();
            (!counts.is_empty()).then(|| counts.iter().sum())
        };
        let has_network = settings.network != graph::Network::Host || settings.networks.is_shared();
        let first = Some(&container.state.pid).filter(|_| has_network);
        let network = first.and_then(|pid| file(pid, "net/dev")).map_or((0, 0), |text| traffic(&text));
        let memory_of = |pid: &i32| match file(pid, "smaps_rollup") {
            Some(text) => field_of(&text, "Pss").map(|kilobytes| kilobytes * KILOBYTE),
            None => field_of(&file(pid, "status")?, "VmRSS").map(|kilobytes| kilobytes * KILOBYTE),
        };
        let machine = fs::read_to_string(MEMORY).ok().and_then(|text| field_of(&text, "MemTotal"));
        let machine_bytes = machine.unwrap_or_default() * KILOBYTE;
        Ok(Some(ContainerUsage {
            at: Instant::now(),
            cpu_ns: sum(&|pid| cpu_ns(&file(pid, "stat")?)),
            memory_bytes: sum(&memory_of),
            memory_bytes_max: settings
                .resources
                .memory_bytes
                .map_or(machine_bytes, |it| it.min(machine_bytes)),
            received_bytes: network.0,
            sent_bytes: network.1,
            read_bytes: disk("read_bytes"),
            written_bytes: disk("write_bytes"),
            processes: members.len(),
        }))
    }
}

/// The number after a name and a colon.
fn field_of(text: &str, name: &str) -> Option<u64> {
    let value = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

/// Time of a process and of its children that have ended, see proc_pid_stat(5).
fn cpu_ns(stat: &str) -> Option<u64> {
    // The name of the program, in brackets, may contain anything. The state follows, field 3.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks: u64 = fields.get(11..15)?.iter().filter_map(|field| field.parse::<u64>().ok()).sum();
    Some(ticks * (NANOSECONDS_PER_SECOND / TICKS_PER_SECOND))
}

/// Bytes received and sent by all interfaces but the loopback one, see proc_pid_net(5).
fn traffic(text: &str) -> (u64, u64) {
    let interfaces = text.lines().filter_map(|line| line.split_once(':'));
    let counts = interfaces.filter(|(name, _)| name.trim() != "lo").filter_map(|(_, numbers)| {
        let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|it| it.parse().ok()).collect();
        Some((*numbers.first()?, *numbers.get(8)?))
    });
    counts.fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_words_of_the_kernel_are_read() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 100 20 3 4 20 0 1 0 5 6 7";
        assert_eq!(cpu_ns(stat), Some(1_270_000_000));
        assert_eq!(cpu_ns("7 (a) S 1"), None);
        assert_eq!(field_of("Rss:   9 kB\nPss:      12 kB\n", "Pss"), Some(12));
        assert_eq!(field_of("read_bytes: 4096\n", "write_bytes"), None);
        let devices = "Inter-|   Receive    |  Transmit\n face |bytes  packets\n    lo:  5 1 0 0 0 0 0 0 5 1\n  eth0: 10 1 0 0 0 0 0 0 20 1\n  eth1: 1 1 0 0 0 0 0 0 2 1\n";
        assert_eq!(traffic(devices), (11, 22));
    }
}
