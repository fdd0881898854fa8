//! What one process sees beside its root.

/// A file system beside the root, for the time of one step; never part of the layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Absolute path in the root.
    pub target: String,
    /// What is mounted.
    pub source: MountSource,
}

impl Mount {
    /// The input that is mounted, or that a cache begins with.
    pub fn input(&self) -> Option<usize> {
        match &self.source {
            MountSource::Input { input, .. } => Some(*input),
            MountSource::Cache { base, .. } => base.as_ref().map(|base| base.input),
            MountSource::Tmpfs { .. } | MountSource::Secret { .. } | MountSource::Agent { .. } => None,
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
        /// Whether writes are refused.
        read_only: bool,
    },
    /// A directory that outlives the step.
    Cache {
        /// Its name; equal names with equal beginnings share one directory.
        id: String,
        /// What a new directory begins with; empty without.
        base: Option<CacheBase>,
        /// Absolute path in the directory of what is mounted; the whole directory is `/`.
        path: String,
        /// Who may use it at the same time.
        sharing: CacheSharing,
        /// User id of a new directory; none is that of the base, or root.
        uid: Option<u32>,
        /// Group id of a new directory; none is that of the base, or root's.
        gid: Option<u32>,
        /// Mode of a new directory; none is that of the base, or 0755.
        mode: Option<u32>,
        /// Whether writes are refused.
        read_only: bool,
    },
    /// A secret of the build's user as a file that cannot be written to. Its bytes are in no graph.
    Secret {
        /// Which secret.
        id: String,
        /// Owner of the file.
        owner: (u32, u32),
        /// Permissions of the file.
        mode: u32,
        /// Whether the step fails without it; else nothing is mounted then.
        required: bool,
    },
    /// A socket behind which an agent of the build's user answers, see ssh-agent(1). Its keys are in no graph.
    Agent {
        /// Which agent.
        id: String,
        /// Owner of the socket.
        owner: (u32, u32),
        /// Permissions of the socket.
        mode: u32,
        /// Whether the step fails without it; else nothing is mounted then.
        required: bool,
    },
}

/// A directory of an input that a cache begins as a copy of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CacheBase {
    /// Index into the vertex's inputs.
    pub input: usize,
    /// Absolute path in the input.
    pub path: String,
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
