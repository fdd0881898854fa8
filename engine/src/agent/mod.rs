//! Agents of the user that sign for steps: `RUN --mount=type=ssh`.
//!
//! ```text
//! step ---- socket of the sandbox ---- forward: only lists and signs ---- the user's agent, or one with keys from files
//! ```

mod forward;
mod keys;
mod offered;
mod protocol;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use tokio::sync::OnceCell;

use crate::blocking::blocking;
pub(crate) use forward::Forwarding;
use keys::KeyAgent;
pub use offered::OfferedAgents;

/// Where the signatures of a build come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Agent {
    /// An agent that listens here.
    Socket(PathBuf),
    /// The keys in these files, without passphrases.
    Keys(Vec<PathBuf>),
}

/// The agents of a build, by their ids.
pub type Agents = BTreeMap<String, Agent>;

/// Why a step cannot get an agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The user gave none of this name.
    #[error("not forwarded")]
    Missing,
    /// Keys in files need an agent that holds them.
    #[error("cannot start `ssh-agent` for keys in files")]
    Start {
        /// The cause.
        source: io::Error,
    },
    /// A file has no key that can be used.
    #[error("`ssh-add` did not take the key `{}`{}{said}", path.display(), if said.is_empty() { "" } else { ": " })]
    Key {
        /// Which.
        path: PathBuf,
        /// What `ssh-add` said about it, often nothing.
        said: String,
    },
}

/// The agents of a build, and those of them that had to be started. They end with it.
pub(crate) struct AgentPool(BTreeMap<String, Slot>);

struct Slot {
    agent: Agent,
    started: OnceCell<KeyAgent>,
}

impl AgentPool {
    pub(crate) fn new(agents: &Agents) -> Self {
        let slot = |agent: &Agent| Slot { agent: agent.clone(), started: OnceCell::new() };
        Self(agents.iter().map(|(id, agent)| (id.clone(), slot(agent))).collect())
    }

    /// Where an agent listens; one that holds keys is started when it is asked for the first time. `None` when the user
    /// gave none of this name.
    pub(crate) async fn socket(&self, id: &str) -> Result<Option<&Path>, AgentError> {
        let Some(Slot { agent, started }) = self.0.get(id) else { return Ok(None) };
        match agent {
            Agent::Socket(path) => Ok(Some(path)),
            Agent::Keys(files) => {
                let start = || async {
                    let files = files.clone();
                    blocking(move || KeyAgent::start(&files)).await
                };
                Ok(Some(started.get_or_try_init(start).await?.socket()))
            }
        }
    }
}
