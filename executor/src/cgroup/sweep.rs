//! Groups that were left behind when everything was killed at once.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Once;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::{Hierarchy, hierarchies};

/// How long a parent may take from the end of its descriptors to its own.
const PARENT_TIME_MAX: Duration = Duration::from_millis(500);
const PAUSE: Duration = Duration::from_millis(1);

/// How the names of our groups begin.
const PREFIX: &str = "slipway-";

/// A name that no other process, and no other sandbox of this one, uses: `slipway-NAMESPACE-PID-START-NUMBER`.
pub(super) fn new_name() -> String {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let id = std::process::id();
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    format!("{PREFIX}{}-{id}-{}-{number}", pid_namespace(), start_time(id).unwrap_or(0))
}

/// Removes the groups of processes that are gone, the first time.
pub(super) fn once(hierarchies: &[Hierarchy], parent: &str) {
    static SWEPT: Once = Once::new();
    SWEPT.call_once(|| {
        for directory in hierarchies.iter().flat_map(|hierarchy| hierarchy.parents(parent)) {
            sweep(&directory);
        }
    });
}

/// Waits until our parent is gone, and removes its groups among the children of its own.
pub(crate) fn sweep_when_gone(parent: Option<Pid>) {
    let until = Instant::now() + PARENT_TIME_MAX;
    while rustix::process::getppid() == parent && Instant::now() < until {
        thread::sleep(PAUSE);
    }
    // Best effort: the next process that makes groups does the same.
    for hierarchy in hierarchies().unwrap_or_default() {
        hierarchy.parents("").iter().for_each(|directory| sweep(directory));
    }
}

fn sweep(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name.to_str().is_some_and(is_orphan) {
            // Who is frozen cannot die.
            super::v1::thaw(&entry.path());
            // Fails while there are processes in it.
            let _ = fs::remove_dir(entry.path());
        }
    }
}

/// Whether the process that made a group is gone. Of other pid namespaces we do not know.
fn is_orphan(name: &str) -> bool {
    let fields = name.strip_prefix(PREFIX).map(|rest| rest.split('-').map(str::parse::<u64>));
    let Some(Ok(fields)) = fields.map(Iterator::collect::<Result<Vec<_>, _>>) else { return false };
    let [namespace, id, start, _] = fields[..] else { return false };
    namespace == pid_namespace() && u32::try_from(id).is_ok_and(|id| start_time(id) != Some(start))
}

fn pid_namespace() -> u64 {
    fs::metadata("/proc/self/ns/pid").map_or(0, |metadata| metadata.ino())
}

/// When a process started, in ticks since the start of the host: with the number this means one process.
fn start_time(id: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name of the program, in brackets, may contain anything.
    let fields = stat.rsplit_once(')')?.1.trim_start();
    // One that is dead and not buried yet is gone.
    if fields.starts_with(['Z', 'X']) {
        return None;
    }
    fields.split_whitespace().nth(START_TIME_FIELD)?.parse().ok()
}

/// Field 22 of proc_pid_stat(5), counted from the one behind the name.
const START_TIME_FIELD: usize = 19;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_groups_of_processes_that_are_gone_are_orphans() {
        assert!(!is_orphan(&new_name()));
        let id = std::process::id();
        assert!(
            is_orphan(&format!("slipway-{}-{id}-1-0", pid_namespace())),
            "another process had this number"
        );
        assert!(!is_orphan(&format!("slipway-1-{id}-1-0")), "another pid namespace");
        assert!(!is_orphan("slipway-web"));
        assert!(!is_orphan("user.slice"));
    }
}
