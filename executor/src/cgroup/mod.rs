//! Limits on what a whole sandbox uses, and the account of it, see cgroups(7).
//!
//! A sandbox gets control groups only when somebody asks for a limit or for the account: they cost some twenty
//! system calls. Each controller is used where the host has it, in a hierarchy of version 1 or in the one of
//! version 2. The groups are children of the caller's own, so that what limits the caller limits its sandboxes too.

mod hierarchy;
mod sweep;
mod v1;
mod v2;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{OrKernel, SandboxError};
pub(crate) use hierarchy::hierarchies;
use hierarchy::{Hierarchy, Version};
pub(crate) use sweep::sweep_when_gone;

/// How long to wait for the kernel to let go of processes that are dead already.
const REMOVAL_TIME_MAX: Duration = Duration::from_secs(2);

/// Between two attempts to remove a group.
const REMOVAL_PAUSE: Duration = Duration::from_millis(2);

/// The file through which processes join a group.
pub(crate) const PROCESSES: &str = "cgroup.procs";

/// Limits on a sandbox. What is not set is not limited.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// Most memory, in bytes.
    pub memory_bytes: Option<u64>,
    /// Most memory and swap together.
    pub memory_swap: Swap,
    /// Memory that the kernel takes last when the machine has too little, in bytes. In version 1 that above it is taken first.
    #[serde(default)]
    pub memory_reserved_bytes: Option<u64>,
    /// Weight in the competition for processors; 1024 is everybody's.
    pub cpu_shares: Option<u64>,
    /// Time on processors in each period, in microseconds.
    pub cpu_quota_us: Option<u64>,
    /// The period, in microseconds; 100 ms if only a quota is given.
    pub cpu_period_us: Option<u64>,
    /// Processors that may be used, `0-2,4`; empty for all.
    pub cpuset_cpus: String,
    /// Memory nodes that may be used; empty for all.
    pub cpuset_mems: String,
    /// Most processes and threads.
    pub pids_max: Option<u64>,
    /// Weight in the competition for block devices, 10 to 1000.
    pub block_weight: Option<u16>,
    /// The group in which that of the sandbox is made, from the root of each hierarchy; empty for the caller's own.
    pub parent: String,
    /// Whether the account is wanted even without a limit.
    pub account: bool,
    /// Whether the sandbox is to have a group that can be frozen, where the machine has such groups.
    pub freezer: bool,
}

/// A limit on memory and swap together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Swap {
    /// As in Docker: with a limit on memory as much swap again, if the kernel counts swap.
    #[default]
    Default,
    /// No limit.
    Unlimited,
    /// This many bytes.
    Bytes(u64),
}

/// What a sandbox used, by the account of its groups. What no group counts is not known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Account {
    /// The most memory at one time.
    pub memory_peak_bytes: Option<u64>,
    /// Its limit.
    pub memory_limit_bytes: Option<u64>,
    /// Processes that the kernel killed because the limit was reached.
    pub memory_kills: u64,
    /// Time on processors.
    pub cpu: Option<Duration>,
    /// Bytes read from block devices and written to them.
    pub block_bytes: Option<(u64, u64)>,
    /// Attempts to start a process that the limit refused.
    pub pids_refused: u64,
}

impl Account {
    /// Says that the limit on memory ended a process, if it did: `killed for memory: limit 64 MiB, peak 64 MiB`.
    pub fn memory_kill(&self) -> Option<String> {
        let mebibytes = |bytes: Option<u64>| {
            bytes.map_or(String::from("unknown"), |bytes| format!("{} MiB", bytes >> 20))
        };
        let (limit, peak) = (mebibytes(self.memory_limit_bytes), mebibytes(self.memory_peak_bytes));
        (self.memory_kills > 0).then(|| format!("killed for memory: limit {limit}, peak {peak}"))
    }
}

/// Something that limits or counts; the names are those of the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Controller {
    Memory,
    Cpu,
    CpuAccount,
    CpuSet,
    Pids,
    Block,
    Freezer,
}

impl Controller {
    const ALL: [Self; 7] =
        [Self::Memory, Self::Cpu, Self::CpuAccount, Self::CpuSet, Self::Pids, Self::Block, Self::Freezer];

    fn name(self, version: Version) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            // Every group of version 2 counts its time.
            Self::CpuAccount if version == Version::Two => "cpu",
            Self::CpuAccount => "cpuacct",
            Self::CpuSet => "cpuset",
            Self::Pids => "pids",
            Self::Block if version == Version::Two => "io",
            Self::Block => "blkio",
            Self::Freezer => "freezer",
        }
    }
}

impl Resources {
    /// Whether a sandbox needs groups at all.
    pub(crate) fn is_asked(&self) -> bool {
        self.account
            || self.freezer
            || !self.parent.is_empty()
            || Controller::ALL.iter().any(|it| self.needs(*it))
    }

    /// Whether there is a limit that this controller keeps.
    fn needs(&self, controller: Controller) -> bool {
        match controller {
            Controller::Memory => {
                self.memory_bytes.is_some()
                    || self.memory_swap != Swap::Default
                    || self.memory_reserved_bytes.is_some()
            }
            Controller::Cpu => {
                self.cpu_shares.is_some() || self.cpu_quota_us.is_some() || self.cpu_period_us.is_some()
            }
            Controller::CpuSet => !self.cpuset_cpus.is_empty() || !self.cpuset_mems.is_empty(),
            Controller::Pids => self.pids_max.is_some(),
            Controller::Block => self.block_weight.is_some(),
            Controller::CpuAccount | Controller::Freezer => false,
        }
    }
}

/// The groups of one sandbox, one in each hierarchy that is needed. Dropping it kills whoever is in them, and
/// removes them.
#[derive(Debug)]
pub(crate) struct Cgroups {
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Group {
    version: Version,
    controllers: Vec<Controller>,
    directory: PathBuf,
}

impl Group {
    fn limit(&self, resources: &Resources) -> Result<(), SandboxError> {
        match self.version {
            Version::One => v1::limit(&self.directory, &self.controllers, resources),
            Version::Two => v2::limit(&self.directory, &self.controllers, resources),
        }
    }
}

impl Cgroups {
    /// Makes the groups with their limits; `None` if none are needed.
    pub(crate) fn make(resources: &Resources) -> Result<Option<Self>, SandboxError> {
        if !resources.is_asked() {
            return Ok(None);
        }
        check(resources)?;
        let hierarchies = hierarchies().or_kernel(|| String::from("read(\"/proc/self/mountinfo\")"))?;
        sweep::once(&hierarchies, &resources.parent);
        let name = sweep::new_name();
        let mut made = Self { groups: Vec::new() };
        for (hierarchy, controllers) in assign(resources, &hierarchies)? {
            let is_needed = !resources.parent.is_empty() || controllers.iter().any(|it| resources.needs(*it));
            let directory = match hierarchy.make(&resources.parent, &name, &controllers) {
                Ok(directory) => directory,
                // Only the account is wanted of it: what is not counted is not known.
                Err(_) if !is_needed => continue,
                Err(error) => return Err(error),
            };
            made.groups.push(Group { version: hierarchy.version, controllers, directory });
            made.groups.last().expect("it was just added").limit(resources)?;
        }
        Ok(Some(made))
    }

    /// The files by which a process joins all groups.
    pub(crate) fn entrances(&self) -> Vec<PathBuf> {
        self.groups.iter().map(|group| group.directory.join(PROCESSES)).collect()
    }

    /// Whether there is a group for everything that these limits are about.
    pub(crate) fn can_limit(&self, resources: &Resources) -> bool {
        let has = |controller: Controller| self.groups.iter().any(|it| it.controllers.contains(&controller));
        Controller::ALL.into_iter().all(|it| has(it) || !resources.needs(it))
    }

    /// Changes the limits.
    pub(crate) fn limit(&self, resources: &Resources) -> Result<(), SandboxError> {
        check(resources)?;
        self.groups.iter().try_for_each(|group| group.limit(resources))
    }

    /// Stops everybody in the groups where they are, or lets them go on. Waits until they stand still.
    pub(crate) fn freeze(&self, is_frozen: bool) -> Result<(), SandboxError> {
        let freezer = self
            .groups
            .iter()
            .find(|it| it.version == Version::Two || it.controllers.contains(&Controller::Freezer));
        match freezer {
            None => Err(no_freezer()),
            Some(group) if group.version == Version::One => v1::freeze(&group.directory, is_frozen),
            Some(group) => v2::freeze(&group.directory, is_frozen),
        }
    }

    /// Whether the groups can be frozen.
    pub(crate) fn can_freeze(&self) -> bool {
        self.groups
            .iter()
            .any(|it| it.version == Version::Two || it.controllers.contains(&Controller::Freezer))
    }

    /// Moves a process to the groups. One that is gone needs none.
    pub(crate) fn add(&self, pid: i32) -> Result<(), SandboxError> {
        for entrance in self.entrances() {
            match fs::write(&entrance, pid.to_string()) {
                Err(error) if error.raw_os_error() == Some(libc::ESRCH) => {}
                result => result.or_kernel(|| format!("write({entrance:?}, \"{pid}\")"))?,
            }
        }
        Ok(())
    }

    /// Everybody in the groups.
    pub(crate) fn members(&self) -> Vec<i32> {
        let Some(group) = self.groups.first() else { return Vec::new() };
        let text = fs::read_to_string(group.directory.join(PROCESSES)).unwrap_or_default();
        text.lines().filter_map(|line| line.parse().ok()).collect()
    }

    /// What was used so far.
    pub(crate) fn account(&self) -> Account {
        let mut account = Account::default();
        for group in &self.groups {
            match group.version {
                Version::One => v1::read(&group.directory, &group.controllers, &mut account),
                Version::Two => v2::read(&group.directory, &mut account),
            }
        }
        account
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for group in &self.groups {
            if group.version == Version::Two {
                // The processes are dead with the first one of their pid namespace; this is for whoever is not.
                let _ = fs::write(group.directory.join("cgroup.kill"), "1");
            }
            remove(&group.directory);
        }
    }
}

/// Removes the groups with these entrances, when whoever made them is gone and the last of their processes too.
pub(crate) fn remove_entered(entrances: &[PathBuf]) {
    entrances.iter().filter_map(|entrance| entrance.parent()).for_each(remove);
}

/// Removes a group when the last of its processes is gone. What stays is removed by a later process.
fn remove(directory: &Path) {
    let begin = Instant::now();
    while fs::remove_dir(directory).is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
        if begin.elapsed() > REMOVAL_TIME_MAX {
            return;
        }
        thread::sleep(REMOVAL_PAUSE);
    }
}

/// Which hierarchy does what. What counts without a limit is taken where it is to be had.
fn assign<'a>(
    resources: &Resources,
    hierarchies: &'a [Hierarchy],
) -> Result<Vec<(&'a Hierarchy, Vec<Controller>)>, SandboxError> {
    let mut assigned: Vec<(&Hierarchy, Vec<Controller>)> = Vec::new();
    for controller in Controller::ALL {
        let is_needed = resources.needs(controller);
        let is_wanted = is_needed
            || match controller {
                Controller::CpuSet | Controller::Cpu => false,
                Controller::Freezer => resources.freezer,
                _ => resources.account,
            };
        if !is_wanted {
            continue;
        }
        let Some(hierarchy) = hierarchies.iter().find(|it| it.has(controller)) else {
            if is_needed {
                return Err(no_controller(controller));
            }
            continue;
        };
        match assigned.iter_mut().find(|(known, _)| std::ptr::eq(*known, hierarchy)) {
            Some((_, controllers)) => controllers.push(controller),
            None => assigned.push((hierarchy, vec![controller])),
        }
    }
    Ok(assigned)
}

/// Nobody can be frozen.
pub(crate) fn no_freezer() -> SandboxError {
    no_controller(Controller::Freezer)
}

fn no_controller(controller: Controller) -> SandboxError {
    SandboxError::BadField {
        field: String::from("resources"),
        value: String::from(controller.name(Version::One)),
        problem: String::from("no control group hierarchy of this machine has this controller"),
    }
}

/// What the kernel would refuse without saying why.
fn check(resources: &Resources) -> Result<(), SandboxError> {
    let wrong = |field: &str, value: String, problem: &str| {
        Err(SandboxError::BadField { field: String::from(field), value, problem: String::from(problem) })
    };
    if let (Swap::Bytes(swap), memory) = (resources.memory_swap, resources.memory_bytes)
        && memory.is_none_or(|memory| swap < memory)
    {
        return wrong(
            "memory_swap",
            swap.to_string(),
            "it includes the memory, whose limit must be set and not larger",
        );
    }
    if resources.memory_bytes.is_some_and(|bytes| bytes < MEMORY_BYTES_MIN) {
        let bytes = resources.memory_bytes.unwrap_or_default().to_string();
        return wrong("memory_bytes", bytes, "the minimum is 6 MiB");
    }
    if let (Some(reserved), Some(most)) = (resources.memory_reserved_bytes, resources.memory_bytes)
        && reserved > most
    {
        return wrong("memory_reserved_bytes", reserved.to_string(), "it is more than the limit on memory");
    }
    if resources.block_weight.is_some_and(|weight| !(10..=1000).contains(&weight)) {
        let weight = resources.block_weight.unwrap_or_default().to_string();
        return wrong("block_weight", weight, "it must be between 10 and 1000");
    }
    let is_path = resources.parent.split('/').all(|name| name != "..");
    if !is_path || resources.parent.contains('\0') {
        return wrong("parent", resources.parent.clone(), "it leads out of the hierarchy");
    }
    Ok(())
}

/// Docker's minimum: less than that, and nothing starts.
const MEMORY_BYTES_MIN: u64 = 6 << 20;

/// Waits until the processes of a group stand still, or go on.
fn wait_for(is_there: impl Fn() -> bool, call: impl FnOnce() -> String) -> Result<(), SandboxError> {
    let begin = Instant::now();
    while !is_there() {
        if begin.elapsed() > FREEZING_TIME_MAX {
            return Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)).or_kernel(call);
        }
        thread::sleep(REMOVAL_PAUSE);
    }
    Ok(())
}

/// How long a process may take to stand still: one that waits for a disk comes to it later.
const FREEZING_TIME_MAX: Duration = Duration::from_secs(10);

/// Writes one file of a group.
fn set(directory: &Path, file: &str, value: &str) -> Result<(), SandboxError> {
    let path = directory.join(file);
    fs::write(&path, value).or_kernel(|| format!("write({path:?}, {value:?})"))
}

/// Writes the first of several files that exists: names differ with the scheduler of the devices.
fn set_first(directory: &Path, files: &[(&str, String)], what: &str) -> Result<(), SandboxError> {
    match files.iter().find(|(file, _)| directory.join(file).exists()) {
        Some((file, value)) => set(directory, file, value),
        None => Err(SandboxError::BadField {
            field: String::from("resources"),
            value: String::from(what),
            problem: String::from("this kernel has no such limit"),
        }),
    }
}

/// A file with a single number.
fn number(directory: &Path, file: &str) -> Option<u64> {
    fs::read_to_string(directory.join(file)).ok()?.trim().parse().ok()
}

/// The number after a word, in a file with a word and a number in each line.
fn keyed(directory: &Path, file: &str, word: &str) -> Option<u64> {
    let text = fs::read_to_string(directory.join(file)).ok()?;
    text.lines().find_map(|line| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok())
}
