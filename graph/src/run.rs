//! One process.

use crate::Mount;

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
    /// How much the process may do.
    pub security: Security,
    /// File systems beside the root.
    pub mounts: Vec<Mount>,
    /// Secrets in the environment, in order. They win over `env`.
    pub secret_env: Vec<SecretEnv>,
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
