//! One process in a sandbox.
//!
//! [`spawn`] starts a command in namespaces of its own, on an overlay of layers, with Docker's default restrictions.
//! Nothing forks in the calling process: our own binary is executed anew as a small helper, which is why
//! [`dispatch`] must be the first statement of `main`. Nothing is ever mounted in the caller's mount namespace.
//!
//! [`become_root`] makes an ordinary user root in a user namespace of its own. After that there is one code path.
//!
//! The processes of one sandbox:
//!
//! ```text
//! engine ----- control socket, lifeline ----- helper (host's namespaces, one thread)
//!                                                | clone3: new mnt, pid, ipc, uts, cgroup (and net) namespaces
//!                                             process 1: mounts, pivots, gives up privileges, becomes the command
//! ```

mod ahead;
mod capabilities;
mod cgroup;
mod child;
mod command;
mod cwd;
mod device_file;
mod devices;
mod dispatch;
mod doctor;
mod engine_binary;
mod error;
mod file_system;
mod foreign;
mod groundwork;
mod helper;
mod inherited;
mod init;
mod io;
mod join;
mod kernel_files;
mod landlock;
mod members;
mod mounting;
mod mounts;
mod namespace;
mod network;
mod on_demand;
mod overlay;
mod privileged;
mod privileges;
mod process;
mod reaper;
mod resident;
mod rootfs;
mod seccomp;
mod sharing;
mod socket;
mod spec;
mod stubs;
mod subordinate;
mod supervisor;
mod sys;
mod tree;
mod uplink;
mod user;
mod wire;
mod work;

pub use capabilities::{Capabilities, Capability};
pub use cgroup::{Account, Resources, Swap};
pub use child::{Child, Exit, Handle, Outcome, Remains, Terminal, Usage, spawn, spawn_in};
pub use dispatch::dispatch;
pub use doctor::{Examination, Feature, Presence, Rung, examine};
pub use engine_binary::start_again;
pub use error::{EXIT_NOT_EXECUTABLE, EXIT_NOT_FOUND, Errno, ErrorKind, SandboxError};
pub use helper::prepare;
pub use inherited::inherited_descriptor;
pub use io::{Io, Output, Stream};
pub use kernel_files::Processes;
pub use landlock::landlock_version;
pub use namespace::{Ids, NamespaceError, become_root, become_root_in};
pub use network::{
    Attachment, Endpoint, HostPort, Ipv6Plan, Join, NAME_SERVER, NetworkError, Outlet, PrivateNetwork,
    Protocol, Published, SwitchPlan, fuzz_query, has_idle_network, join, known_private_network, leave, list,
    owner, prepare_network, prepare_unconnected_network, private_network, publish, start_switch,
};
pub use resident::{Companion, Resident, reside, reside_in};
pub use rootfs::{MOUNT_POINT_DIRECTORIES, MOUNT_POINT_FILES};
pub use seccomp::{ProfileError, compile_profile};
pub use sharing::{Neighbours, Sharing, Whose};
pub use spec::{
    Below, Binding, Confinement, Content, LOWERS_MAX, Mount, Network, Propagation, Reach, Rlimit, Rootfs,
    SHM_SIZE_BYTES_DEFAULT, SOCKETS_MAX, Seccomp, Spec, WindowSize,
};
