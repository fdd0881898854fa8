//! One process.

use crate::Mount;

/// One process in a sandbox on top of input 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment, in order; a later pair wins.
    pub env: Vec<(String, String)>,
    /// Names of the variables in `env` that are arguments of the build, for people: to the process all are alike.
    pub build_args: Vec<String>,
    /// Proxy settings, passed on to the process and in no key, as with Docker.
    pub proxy_env: Vec<(String, String)>,
    /// Absolute working directory.
    pub cwd: String,
    /// `USER` as written: empty, name or id, with `:group` or without.
    pub user: String,
    /// What the process sees of the network.
    pub network: Network,
    /// How much the process may do.
    pub security: Security,
    /// File systems beside the root.
    pub mounts: Vec<Mount>,
    /// Secrets in the environment, in order. They win over `env`.
    pub secret_env: Vec<SecretEnv>,
    /// Devices of the machine.
    pub devices: Vec<Device>,
    /// What the machine is called; none is the engine's default.
    pub hostname: Option<String>,
    /// What else the process can notice.
    pub surroundings: Surroundings,
    /// Exit codes that are no failure; none is 0 alone.
    pub exit_codes: Vec<u8>,
    /// Whether writes to the root are refused.
    pub read_only_root: bool,
    /// Whose changes become the layer.
    pub kept: Kept,
}

/// Whose changes become the layer of a [`Run`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Kept {
    /// Those of the root, which continues input 0.
    #[default]
    Root,
    /// Those of a mount, which continues input 0. The root is another input, and its changes are thrown away.
    Mount(Box<KeptMount>),
}

/// A mount whose changes become the layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptMount {
    /// Index into the vertex's inputs of the root.
    pub root: usize,
    /// Absolute path of the mount in the root.
    pub target: String,
    /// Absolute path in input 0 of what is mounted.
    pub path: String,
}

impl Kept {
    /// Index into the vertex's inputs of the root.
    pub fn root(&self) -> usize {
        match self {
            Self::Root => 0,
            Self::Mount(mount) => mount.root,
        }
    }
}

/// A device that a process gets, see the Container Device Interface. Which device files, directories and variables that
/// means the machine says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// `vendor.com/class=name`, or what the user of the build calls it.
    pub name: String,
    /// Whether the step fails without it.
    pub required: bool,
}

/// A secret of the build's user as a variable of one process. Only its name is known here: the value is in no
/// graph.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretEnv {
    /// Name of the variable.
    pub name: String,
    /// Which secret.
    pub id: String,
    /// Whether the step fails without it; else the variable is not set then.
    pub required: bool,
}

/// What a process can notice of the machine that it runs on, as the caller of a build wants it for all steps.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// More lines of `/etc/hosts`: a name, and an address or `host-gateway`.
    pub extra_hosts: Vec<(String, String)>,
    /// Size of `/dev/shm` in bytes; none is the engine's default.
    pub shm_size_bytes: Option<u64>,
    /// Resource limits that differ from what the engine itself has.
    pub ulimits: Vec<Ulimit>,
}

/// One resource limit, see getrlimit(2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ulimit {
    /// Docker's name: `nofile`, `nproc`, `core`, ...
    pub name: String,
    /// Soft limit; none is unlimited.
    pub soft: Option<u64>,
    /// Hard limit; none is unlimited.
    pub hard: Option<u64>,
}

impl Ulimit {
    /// `nofile=1024:2048`, with `-1` for unlimited.
    pub fn written(&self) -> String {
        let number = |limit: Option<u64>| limit.map_or("-1".to_owned(), |limit| limit.to_string());
        format!("{}={}:{}", self.name, number(self.soft), number(self.hard))
    }
}

/// What a process sees of the network.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Network {
    /// What the engine gives by default.
    #[default]
    Default,
    /// The host's network.
    Host,
    /// A loopback interface only.
    None,
}

/// How much a process may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Security {
    /// What Docker allows a container by default.
    #[default]
    Sandbox,
    /// Everything that root may do, within its namespaces.
    Insecure,
}
