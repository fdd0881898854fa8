//! How a build reaches other machines.

use std::sync::Arc;

use graph::GitSource;

use super::FetchError;
use super::auth::FileCredentials;
use super::git::{Credentials, GitAccess};
use crate::BuildRequest;
use crate::agent::{AgentPool, Agents};
use crate::net::HttpClient;
use crate::secrets::Secrets;

/// The agent for repositories behind ssh, as in BuildKit.
const AGENT: &str = "default";

/// How a build reaches other machines.
pub(crate) struct Access {
    pub(super) client: HttpClient,
    pub(super) file_credentials: FileCredentials,
    pub(crate) agents: Arc<AgentPool>,
    proxy_env: Vec<(String, String)>,
    credentials: Credentials,
}

impl Access {
    pub(crate) fn new(request: &BuildRequest) -> Self {
        Self::of(&request.secrets, &request.agents, &request.proxy_env)
    }

    pub(crate) fn of(secrets: &Secrets, agents: &Agents, proxy_env: &[(String, String)]) -> Self {
        Self {
            client: HttpClient::new(proxy_env),
            file_credentials: FileCredentials::new(secrets),
            agents: Arc::new(AgentPool::new(agents)),
            proxy_env: proxy_env.to_vec(),
            credentials: Credentials::new(secrets),
        }
    }

    /// For a repository. An agent is started only where it can be of use.
    pub(crate) async fn git(&self, source: &GitSource) -> Result<GitAccess, FetchError> {
        let agent = if source.is_ssh() { self.agents.socket(AGENT).await? } else { None };
        Ok(GitAccess {
            proxy_env: self.proxy_env.clone(),
            credentials: self.credentials.clone(),
            agent: agent.map(ToOwned::to_owned),
        })
    }
}
