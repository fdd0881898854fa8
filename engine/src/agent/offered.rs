//! The user's agents for somebody who is not of this process: a daemon that builds for us.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use super::{AgentError, AgentPool, Agents, Forwarding};

/// Sockets of our own, one for each agent that was asked for: what they let through are lists and signatures. They end with
/// this value.
pub struct OfferedAgents {
    pool: AgentPool,
    directory: tempfile::TempDir,
    doors: Mutex<BTreeMap<String, Forwarding>>,
}

impl OfferedAgents {
    /// Offers these. Keys in files get their agent when it is asked for.
    ///
    /// # Errors
    ///
    /// When there is no place for sockets.
    pub fn new(agents: &Agents) -> io::Result<Self> {
        // Nobody but us can look into it.
        let directory = tempfile::Builder::new().prefix("slipway-ssh-").tempdir()?;
        Ok(Self { pool: AgentPool::new(agents), directory, doors: Mutex::default() })
    }

    /// Where the agent with an id answers; none when there is no such agent.
    ///
    /// # Errors
    ///
    /// When an agent for keys in files does not start.
    pub async fn socket(&self, id: &str) -> Result<Option<PathBuf>, AgentError> {
        let Some(agent) = self.pool.socket(id).await? else { return Ok(None) };
        let mut doors = self.doors.lock().unwrap_or_else(PoisonError::into_inner);
        // An id is no name of a file.
        let place = self.directory.path().join(image::Digest::of(id.as_bytes()).hex());
        if !doors.contains_key(id) {
            let listener = UnixListener::bind(&place).map_err(|source| AgentError::Start { source })?;
            let door = Forwarding::start(vec![listener.into()], &[agent.to_owned()]);
            doors.insert(id.to_owned(), door);
        }
        Ok(Some(place))
    }
}
