//! Counts what a killed command has left behind: processes, mounts, control groups.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// How long whatever has lost its owner may need to end.
const PATIENCE: Duration = Duration::from_secs(1);
const PAUSE: Duration = Duration::from_millis(10);
const GROUPS: &str = "/sys/fs/cgroup";

/// What there is at one moment.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Census {
    processes: BTreeSet<String>,
    mounts: BTreeSet<String>,
    groups: BTreeSet<PathBuf>,
}

impl Census {
    /// Looks around in these namespaces.
    pub(crate) fn take() -> Self {
        Self { processes: processes(), mounts: mounts(), groups: groups() }
    }

    /// Waits until there is no more than at the time of this census; what there is else, if that takes too long.
    pub(crate) fn wait(&self) -> Result<(), String> {
        let until = Instant::now() + PATIENCE;
        loop {
            let now = Self::take();
            let left = |before: &BTreeSet<String>, now: &BTreeSet<String>| {
                now.difference(before).cloned().collect::<Vec<_>>()
            };
            let processes = left(&self.processes, &now.processes);
            let mounts = left(&self.mounts, &now.mounts);
            let groups: Vec<_> = now.groups.difference(&self.groups).collect();
            if processes.is_empty() && mounts.is_empty() && groups.is_empty() {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(format!("left after a second: {processes:?} {mounts:?} {groups:?}"));
            }
            std::thread::sleep(PAUSE);
        }
    }
}

/// Numbers and names of all processes that live.
fn processes() -> BTreeSet<String> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = entries.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers
        .filter_map(|number| {
            let stat = fs::read_to_string(format!("/proc/{number}/stat")).ok()?;
            let (name, rest) = stat.rsplit_once(')')?;
            (!rest.trim_start().starts_with(['Z', 'X'])).then(|| format!("{name})"))
        })
        .collect()
}

fn mounts() -> BTreeSet<String> {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    // Up to the place; what follows may change without a new mount.
    mounts.lines().map(|line| line.split(' ').take(5).collect::<Vec<_>>().join(" ")).collect()
}

/// Control groups that sandboxes of this pid namespace have made.
fn groups() -> BTreeSet<PathBuf> {
    let mut found = BTreeSet::new();
    let Some(prefix) = prefix() else { return found };
    collect(Path::new(GROUPS), &prefix, &mut found);
    found
}

/// Sandboxes name their groups after the namespace that their numbers belong to.
fn prefix() -> Option<String> {
    let link = fs::read_link("/proc/self/ns/pid").ok()?;
    let text = link.to_str()?.strip_prefix("pid:[")?.strip_suffix(']')?.to_owned();
    Some(format!("slipway-{text}-"))
}

fn collect(directory: &Path, prefix: &str, found: &mut BTreeSet<PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            found.insert(entry.path());
        }
        collect(&entry.path(), prefix, found);
    }
}

/// Takes away the groups that killed commands have left, which nobody outside of this namespace would.
pub(crate) fn remove_own_groups() {
    for group in groups().into_iter().rev() {
        // Best effort: one that is not empty has a process, which ends with the namespace.
        let _ = fs::remove_dir(group);
    }
}
