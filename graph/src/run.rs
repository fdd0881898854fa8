//! One process.

/// One process in a sandbox on top of input 0.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Run {
    /// Program and arguments.
    pub argv: Vec<String>,
    /// Environment, in order; a later pair wins.
    pub env: Vec<(String, String)>,
    /// Proxy settings, passed on to the process and in no key, as with Docker.
    pub proxy_env: Vec<(String, String)>,
    /// Absolute working directory.
    pub cwd: String,
    /// `USER` as written: empty, name or id, with `:group` or without.
    pub user: String,
    /// What the process sees of the network.
    pub network: Network,
    /// File systems beside the root.
    pub mounts: Vec<Mount>,
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

/// A file system beside the root, for the time of one step; never part of the layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Absolute path in the root.
    pub target: String,
    /// What is mounted.
    pub source: MountSource,
}

impl Mount {
    /// The input that is mounted, when it is one.
    pub fn input(&self) -> Option<usize> {
        match &self.source {
            MountSource::Input { input, .. } => Some(*input),
            MountSource::Tmpfs { .. } | MountSource::Cache { .. } => None,
        }
    }
}

/// What a [`Mount`] mounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MountSource {
    /// Part of an input, beneath `path`. Writes are possible unless `read_only`, and thrown away.
    Input {
        /// Index into the vertex's inputs.
        input: usize,
        /// Absolute path in the input.
        path: String,
        /// Whether writes are refused.
        read_only: bool,
    },
    /// An empty file system in memory.
    Tmpfs {
        /// Limit in bytes; none is half of the memory.
        size_bytes: Option<u64>,
    },
    /// A directory that outlives the step.
    Cache {
        /// Its name; equal names share one directory.
        id: String,
        /// Who may use it at the same time.
        sharing: CacheSharing,
        /// Owner of a new directory.
        owner: (u32, u32),
        /// Mode of a new directory.
        mode: u32,
        /// Whether writes are refused.
        read_only: bool,
    },
}

/// Who may use a cache mount at the same time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum CacheSharing {
    /// Everybody, together.
    #[default]
    Shared,
    /// Everybody, each with an own directory.
    Private,
    /// One after another.
    Locked,
}
