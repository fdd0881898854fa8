//! What to run and in which surroundings, as plain data.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::capabilities::Capabilities;
use crate::cgroup::Resources;
use crate::network::Outlet;
use crate::sharing::Sharing;

/// Most directories that an overlay can stack below its upper one (`OVL_MAX_STACK`).
pub const LOWERS_MAX: usize = 500;

/// Size of `/dev/shm` unless the specification says otherwise, as in Docker.
pub const SHM_SIZE_BYTES_DEFAULT: u64 = 64 << 20;

/// One process and its surroundings. Plain data: any value may be tried, and [`crate::spawn`] says what is
/// wrong with it.
///
/// Paths of the host (`rootfs`, the sources of mounts) are trusted and absolute. Paths inside the container
/// (`cwd`, targets, masked paths) are resolved beneath its root, whatever links the image contains.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Spec {
    /// The tree that becomes `/`.
    pub rootfs: Rootfs,
    /// Program and arguments. A program without a slash is searched for in `PATH` of `env`.
    pub argv: Vec<String>,
    /// The whole environment; nothing is inherited. `HOME` is added from the image's passwd if absent.
    pub env: Vec<(String, String)>,
    /// Working directory. Empty means `/`.
    pub cwd: String,
    /// Whether the working directory is made where there is none; otherwise it must exist.
    pub makes_cwd: bool,
    /// Docker's `USER` syntax: empty, `name`, `uid`, `name:group`, `uid:gid` and mixtures, resolved in the
    /// image's own `/etc/passwd` and `/etc/group`.
    pub user: String,
    /// Further groups of the process, by name or number, resolved in the image's own `/etc/group`.
    pub groups: Vec<String>,
    /// Host name. Empty keeps the host's.
    pub hostname: String,
    /// Content of `/etc/hosts`. Empty leaves the image's file alone.
    pub hosts: String,
    /// Content of `/etc/resolv.conf`. Empty leaves the image's file alone.
    pub resolv_conf: String,
    /// Which network the process sees.
    pub network: Network,
    /// Whose other namespaces it has.
    pub sharing: Sharing,
    /// Whether a process of ours is the first one of the sandbox: it passes signals on to the command, buries processes that
    /// nobody waits for, and ends as the command does.
    pub has_init: bool,
    /// Further mounts, made in this order after the standard ones.
    pub mounts: Vec<Mount>,
    /// Capabilities of a process of user 0, and the bounding set of every other.
    pub capabilities: Capabilities,
    /// Those of them that a process of any user holds, and keeps when it executes something.
    pub ambient: Capabilities,
    /// How far the machine itself is out of reach.
    pub confinement: Confinement,
    /// Whether executing a set-user-id program gains nothing, see prctl(2) `PR_SET_NO_NEW_PRIVS`.
    pub no_new_privs: bool,
    /// Which system calls are allowed.
    pub seccomp: Seccomp,
    /// Whether `/` itself is mounted read-only.
    pub read_only_root: bool,
    /// Paths that are covered by something empty, if they exist.
    pub masked_paths: Vec<String>,
    /// Paths that are mounted read-only, if they exist.
    pub read_only_paths: Vec<String>,
    /// Resource limits; those that are not named are inherited.
    pub rlimits: Vec<Rlimit>,
    /// File mode creation mask.
    pub umask: u32,
    /// Namespaced kernel parameters, `net.core.somaxconn` and its value.
    pub sysctls: Vec<(String, String)>,
    /// Whether there is a `/dev/shm`.
    pub has_shared_memory: bool,
    /// Size limit of `/dev/shm`, if it is the command's own.
    pub shm_size_bytes: u64,
    /// Limits of the whole sandbox.
    pub resources: Resources,
}

impl Spec {
    /// Docker's defaults for everything but the tree and the command.
    pub fn new(rootfs: Rootfs, argv: Vec<String>) -> Self {
        Self {
            rootfs,
            argv,
            env: Vec::new(),
            cwd: String::from("/"),
            makes_cwd: false,
            user: String::new(),
            groups: Vec::new(),
            hostname: String::new(),
            hosts: String::new(),
            resolv_conf: String::new(),
            network: Network::default(),
            sharing: Sharing::default(),
            has_init: false,
            mounts: Vec::new(),
            capabilities: Capabilities::default(),
            ambient: Capabilities::NONE,
            confinement: Confinement::default(),
            no_new_privs: true,
            seccomp: Seccomp::default(),
            read_only_root: false,
            masked_paths: owned(MASKED_PATHS),
            read_only_paths: owned(READ_ONLY_PATHS),
            rlimits: Vec::new(),
            umask: UMASK_DEFAULT,
            sysctls: Vec::new(),
            has_shared_memory: true,
            shm_size_bytes: SHM_SIZE_BYTES_DEFAULT,
            resources: Resources::default(),
        }
    }
}

impl Spec {
    /// The same with every restriction taken away that is no namespace: all capabilities for every user, all system calls,
    /// all device files, and the kernel's files as root of this user namespace sees them.
    pub fn privileged(self) -> Self {
        Self {
            capabilities: Capabilities::ALL,
            ambient: Capabilities::ALL,
            confinement: Confinement::Privileged,
            no_new_privs: false,
            seccomp: Seccomp::Unconfined,
            masked_paths: Vec::new(),
            read_only_paths: Vec::new(),
            ..self
        }
    }
}

/// File mode creation mask of Docker's containers.
const UMASK_DEFAULT: u32 = 0o022;

/// Host information and switches that are not namespaced: what Docker masks.
const MASKED_PATHS: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

/// Switches of the host that a container may see and not touch: what Docker mounts read-only.
const READ_ONLY_PATHS: &[&str] = &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

fn owned(paths: &[&str]) -> Vec<String> {
    paths.iter().map(ToString::to_string).collect()
}

/// The tree that becomes `/`. Mounted in the child's own mount namespace only, never on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Rootfs {
    /// An overlay, see the kernel's `filesystems/overlayfs`. Extended attributes are in the `user.` name space, as root
    /// as well, so that a store has one format.
    Overlay {
        /// Read-only layers, topmost first, [`LOWERS_MAX`] at most. None at all: `upper` alone is mounted.
        #[serde(with = "crate::wire::paths")]
        lowers: Vec<PathBuf>,
        /// Takes the changes. Complete when [`crate::Child::wait`] returns.
        #[serde(with = "crate::wire::path")]
        upper: PathBuf,
        /// An empty directory on the file system of `upper`, fresh for each run with `volatile`. It is empty again afterwards, as
        /// far as that is possible.
        #[serde(with = "crate::wire::path")]
        work: PathBuf,
        /// Whether the kernel may omit every sync of `upper`, also the one when it unmounts.
        volatile: bool,
    },
    /// One directory as it is; changes go straight into it.
    Directory(#[serde(with = "crate::wire::path")] PathBuf),
}

/// Which network a process sees.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// The host's own.
    #[default]
    Host,
    /// A new one with nothing but a loopback interface, which is up.
    None,
    /// A new one with a way out, see [`crate::private_network`]. It may have had another sandbox before, which has
    /// left nothing behind in it.
    Private,
    /// That of another sandbox, see [`crate::Neighbours`].
    Joined,
    /// The same, connected when the first socket of the command waits for it: before, its interfaces are there, but have no
    /// addresses. Connected as it is known that this machine can. Only for a command that the engine waits for, see [`crate::spawn`].
    OnDemand(Outlet),
}

/// How far the machine itself is out of reach.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Confinement {
    /// Only the device files of every container can be opened; `/sys` is read-only.
    #[default]
    Ordinary,
    /// Device files work wherever they are, more of them are in `/dev`, and `/sys` can be written to. What the kernel
    /// refuses in a user namespace it still refuses.
    Privileged,
}

/// Which system calls are allowed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Seccomp {
    /// An allow-list with the meaning of Docker's default profile; it widens with the capabilities.
    #[default]
    Default,
    /// What a profile says, see [`crate::compile_profile`].
    Program(Vec<u64>),
    /// All.
    Unconfined,
}

/// One resource limit, see getrlimit(2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// Docker's name: `nofile`, `nproc`, `core`, ...
    pub name: String,
    /// Soft limit; `None` is unlimited.
    pub soft: Option<u64>,
    /// Hard limit; `None` is unlimited.
    pub hard: Option<u64>,
}

/// Something mounted inside the root.
///
/// A target that does not exist is created, and removed from the upper directory afterwards if it is still the
/// same and empty. Device files on these mounts cannot be opened, [`Mount::Device`] aside.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Mount {
    /// A directory or file of the host, with what is mounted below it.
    Bind {
        /// Absolute path on the host, trusted.
        #[serde(with = "crate::wire::path")]
        source: PathBuf,
        /// Path resolved beneath `source` as if that were the root; empty means `source` itself. Links in it
        /// cannot lead out.
        subpath: String,
        /// Path inside the root.
        target: String,
        /// Whether writing is refused, recursively unless `binding` says otherwise.
        read_only: bool,
        /// What becomes of mounts below the source, now and later.
        binding: Binding,
    },
    /// A new file system of any type, see mount(8). Its device files cannot be opened, whatever the options say.
    FileSystem {
        /// A name of filesystems(5).
        fstype: String,
        /// The device, the server and its directory, or whatever the type takes. Empty for none.
        source: String,
        /// With commas between them. Those of every type become flags, the others go to the file system.
        options: String,
        /// Path inside the root.
        target: String,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Path inside the root.
        target: String,
        /// Size limit; `None` is the kernel's default, half of the memory.
        size_bytes: Option<u64>,
        /// Mode of its root directory.
        mode: u32,
        /// Whether writing is refused.
        read_only: bool,
    },
    /// Layers stacked to a tree. Changes, if allowed, are kept in memory and thrown away.
    Overlay {
        /// Topmost first, [`LOWERS_MAX`] at most, at least one.
        #[serde(with = "crate::wire::paths")]
        lowers: Vec<PathBuf>,
        /// Path resolved inside the stacked tree, empty for all of it.
        subpath: String,
        /// Path inside the root.
        target: String,
        /// Whether writing is refused.
        read_only: bool,
    },
    /// A file with given content, in memory and read-only: secrets never reach a disk.
    File {
        /// Path inside the root.
        target: String,
        /// Its bytes.
        content: Content,
        /// Its permissions.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
    /// A device file of the host, which works, whatever else does not.
    Device {
        /// Absolute path on the host, trusted.
        #[serde(with = "crate::wire::path")]
        source: PathBuf,
        /// Path inside the root.
        target: String,
        /// Another owner and group than on the host. The kernel refuses this and another mode in a user namespace.
        owner: Option<(u32, u32)>,
        /// Other permissions than on the host.
        mode: Option<u32>,
    },
    /// A unix socket whose connections the caller accepts, see [`crate::Child::take_listeners`]. [`SOCKETS_MAX`] at
    /// most. It is in memory, and in no directory of the host.
    Socket {
        /// Path inside the root.
        target: String,
        /// Its permissions: who can write can connect.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

/// How a bind mount goes on with what is mounted below its source.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    /// What comes along.
    pub below: Below,
    /// Which later mounts and unmounts are seen on the other side.
    pub propagation: Propagation,
}

/// Which mounts below the source of a bind mount come along.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Below {
    /// All; they can be written to as the mount itself can.
    #[default]
    All,
    /// All; what is read-only is the mount itself.
    AllWritable,
    /// None: their directories are empty.
    None,
}

/// What is seen of later mounts, see mount_namespaces(7).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// Nothing, in either direction.
    #[default]
    Private,
    /// Those of the host, directly below the source or also below what is mounted there.
    Slave(Reach),
    /// Those of the host and those of the sandbox.
    Shared(Reach),
}

/// How far a propagation reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Reach {
    /// The mount itself.
    One,
    /// It and the mounts below it.
    All,
}

/// Most sockets of one container: their descriptors travel in one message.
pub const SOCKETS_MAX: usize = 16;

/// The bytes of a [`Mount::File`]. They may be a secret: `Debug` says how many they are.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Content(Vec<u8>);

impl Content {
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for Content {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{} bytes", self.0.len())
    }
}

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}
