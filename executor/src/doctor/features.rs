//! Each feature, and how to find out whether it is there.

use std::fs;
use std::io;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::mount::MountAttrFlags;

use super::{Feature, Presence, Root};
use crate::cgroup::hierarchies;
use crate::error::{SandboxError, chain};
use crate::foreign;
use crate::kernel_files::probe_proc;
use crate::landlock::landlock_version;
use crate::mounting::{Parameter, mount_new};
use crate::namespace::{Ids, find_program};
use crate::overlay::probe_overlay;
use crate::subordinate::Which;

/// The one on which the rung depends.
pub(super) const OVERLAY: &str = "overlayfs";

/// The other one.
pub(super) const PROC: &str = "procfs of its own";

/// What is known of a feature, and how to find out whether it is there.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) used_for: &'static str,
    pub(super) without: &'static str,
    probe: fn(&Root, &Path) -> Presence,
}

/// Every feature, in the order in which a sandbox needs them.
pub(super) const ROWS: &[Row] = &[
    Row {
        name: "user namespaces",
        used_for: "an ordinary user is root of its own containers",
        without: "only root can run a step or unpack a layer",
        probe: |root, _| user_namespaces(root),
    },
    Row {
        name: "subordinate ids",
        used_for: "files and processes of an image have more than one owner, for an ordinary user",
        without: "a single id is mapped; `chown` and `USER` to another one are refused",
        probe: |root, _| subordinate_ids(root),
    },
    Row {
        name: "mount, pid, ipc, uts, net and cgroup namespaces",
        used_for: "a container sees its own files, processes, queues, names, network and limits",
        without: "no step is run",
        probe: |_, _| namespaces(),
    },
    Row {
        name: PROC,
        used_for: "a container sees its own processes in `/proc`",
        without: "`/proc` is the one around it, whose processes are listed there and out of reach by Landlock; without that, no step is run",
        probe: |_, _| presence(probe_proc().map(str::to_owned).map_err(|error| chain(&error))),
    },
    Row {
        name: "mount API of descriptors",
        used_for: "mounts are made aside and attached where a descriptor points (Linux 5.2, `mount_setattr` 5.12)",
        without: "no step is run",
        probe: |_, _| mount_api(),
    },
    Row {
        name: OVERLAY,
        used_for: "layers are stacked without copying them, also in user namespaces (Linux 5.11)",
        without: "each step works on a copy of what is below it",
        probe: |_, directory| {
            presence(probe_overlay(directory).map(str::to_owned).map_err(|error| chain(&error)))
        },
    },
    Row {
        name: "whiteouts",
        used_for: "a layer says which files below it are gone: device files with the number 0:0 (Linux 5.8 for users)",
        without: "steps that remove something fail: the store has to be on another file system (`--root DIR`), not on an overlay",
        probe: |_, directory| whiteouts(directory),
    },
    Row {
        name: "openat2",
        used_for: "paths in a container are resolved beneath its root, whatever its links say (Linux 5.6)",
        without: "no step is run",
        probe: |_, _| openat2(),
    },
    Row {
        name: "seccomp filters",
        used_for: "system calls beyond an allow-list are refused",
        without: "no step is run, but those with `--security-opt seccomp=unconfined`",
        probe: |_, _| seccomp(),
    },
    Row {
        name: "Landlock",
        used_for: "a second wall around a container's files, its signals and abstract sockets (Linux 5.19, all of it 6.12)",
        without: "the namespaces alone keep the host's files apart",
        probe: |_, _| landlock(),
    },
    Row {
        name: "control groups",
        used_for: "`--memory`, `--cpus`, `--pids-limit` and their like",
        without: "these options are refused with the reason; everything else works",
        probe: |_, _| control_groups(),
    },
    Row {
        name: "network of its own",
        used_for: "a container has its own addresses and a way out: `veth` as root, `pasta` or `slirp4netns` otherwise; published ports and shared networks need no more, for anybody",
        without: "`--network default` is the host's network, which is said once",
        probe: |_, _| network(),
    },
    Row {
        name: "foreign architectures",
        used_for: "programs of other architectures run in an emulator (`binfmt_misc` with the flag F)",
        without: "`--platform` of another architecture cannot run a step, only copy files",
        probe: |_, _| architectures(),
    },
];

/// Tries every feature out.
pub(super) fn all(root: &Root, directory: &Path) -> Vec<Feature> {
    let feature = |row: &Row| {
        let Row { name, used_for, without, probe } = row;
        Feature { name, used_for, without, presence: probe(root, directory) }
    };
    ROWS.iter().map(feature).collect()
}

fn presence(result: Result<String, String>) -> Presence {
    match result {
        Ok(detail) => Presence::Present(detail),
        Err(reason) => Presence::Absent(reason),
    }
}

fn io_presence(result: io::Result<String>) -> Presence {
    presence(result.map_err(|error| error.to_string()))
}

fn user_namespaces(root: &Root) -> Presence {
    let max = || fs::read_to_string("/proc/sys/user/max_user_namespaces").unwrap_or_default();
    match root {
        Ok(Ids::Unchanged) => Presence::Present(format!("not needed as root; {} at most", max().trim())),
        Ok(Ids::Ranges | Ids::Single { .. }) => Presence::Present(format!("{} at most", max().trim())),
        Err(error) => Presence::Absent(chain(error)),
    }
}

fn subordinate_ids(root: &Root) -> Presence {
    match root {
        Ok(Ids::Unchanged) => Presence::Present(String::from("not needed as root")),
        Ok(Ids::Ranges) => Presence::Present(String::from("mapped by newuidmap and newgidmap")),
        Ok(Ids::Single { reason }) => Presence::Absent(reason.clone()),
        Err(_) => {
            let uid = rustix::process::getuid().as_raw();
            presence(Which::Users.ranges(uid).map(|ranges| format!("{} ranges", ranges.len())))
        }
    }
}

fn namespaces() -> Presence {
    let missing: Vec<&str> = ["mnt", "pid", "ipc", "uts", "net", "cgroup"]
        .into_iter()
        .filter(|kind| !fs::exists(format!("/proc/self/ns/{kind}")).unwrap_or(false))
        .collect();
    if missing.is_empty() {
        Presence::Present(String::from("all"))
    } else {
        Presence::Absent(format!("missing: {}", missing.join(", ")))
    }
}

fn mount_api() -> Presence {
    // An empty file system in memory, attached nowhere.
    let mounted = mount_new("tmpfs", &[Parameter::Text("mode", "0755")], MountAttrFlags::MOUNT_ATTR_NODEV)
        .and_then(|mount| {
            crate::mounting::restrict(&mount, MountAttrFlags::MOUNT_ATTR_NOSUID, crate::mounting::Depth::One)
        });
    presence(mounted.map(|()| String::from("works")).map_err(|error: SandboxError| chain(&error)))
}

fn whiteouts(directory: &Path) -> Presence {
    let name = directory.join(format!(".whiteout-{}", std::process::id()));
    let made = rustix::fs::mknodat(CWD, &name, FileType::CharacterDevice, Mode::empty(), 0);
    if made.is_ok() {
        let _ = fs::remove_file(&name);
    }
    io_presence(made.map(|()| String::from("works")).map_err(io::Error::from))
}

fn openat2() -> Presence {
    let opened = rustix::fs::openat2(
        CWD,
        c"/",
        OFlags::PATH | OFlags::CLOEXEC,
        Mode::empty(),
        ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS,
    );
    io_presence(opened.map(|_| String::from("works")).map_err(io::Error::from))
}

fn seccomp() -> Presence {
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail");
    io_presence(actions.map(|actions| actions.trim().to_owned()))
}

fn landlock() -> Presence {
    match landlock_version() {
        Some(1) => Presence::Absent(String::from("version 1, which forbids every move between directories")),
        Some(version) => Presence::Present(format!("version {version}")),
        None => {
            Presence::Absent(String::from("not in this kernel, or switched off (`lsm=` of its command line)"))
        }
    }
}

fn control_groups() -> Presence {
    let found = hierarchies().map_err(|error| error.to_string()).and_then(|hierarchies| {
        let writable = hierarchies.iter().filter(|hierarchy| {
            rustix::fs::access(hierarchy.mount.join(&hierarchy.own), rustix::fs::Access::WRITE_OK).is_ok()
        });
        let names: Vec<String> = writable
            .flat_map(|hierarchy| {
                hierarchy.controllers.iter().map(|name| format!("{name} (v{})", hierarchy.version.number()))
            })
            .collect();
        if names.is_empty() {
            Err(String::from("no controller is delegated to us"))
        } else {
            Ok(names.join(", "))
        }
    });
    presence(found)
}

fn network() -> Presence {
    if rustix::process::geteuid().is_root()
        && fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| is_whole(&map))
    {
        return Presence::Present(String::from("veth"));
    }
    match ["pasta", "slirp4netns"].into_iter().find(|program| find_program(program).is_some()) {
        None => Presence::Absent(String::from("neither `pasta` nor `slirp4netns` is installed")),
        Some(program) => {
            let tun = rustix::fs::open("/dev/net/tun", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
            io_presence(tun.map(|_| program.to_owned()).map_err(io::Error::from))
        }
    }
}

/// Whether a map is that of the host: every id is itself.
fn is_whole(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

fn architectures() -> Presence {
    match foreign::emulated() {
        Ok(names) if names.is_empty() => {
            Presence::Absent(String::from("no emulator is registered: install qemu-user-static"))
        }
        Ok(names) => Presence::Present(names.join(", ")),
        Err(error) => Presence::Absent(format!("`{}`: {error}", foreign::BINFMT)),
    }
}
