//! A client that has what the steps of a build name.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use frontend::remote::Remote;
use graph::{BuildGraph, MountSource, Op};

use crate::agent::Agents;
use crate::fetch::{Access, secret_ids};
use crate::secrets::Secrets;
use crate::{BuildError, BuildRequest, Context, Engine, RemoteFiles};

/// The agent for repositories behind ssh, as in BuildKit.
const AGENT: &str = "default";

/// Whom the engine asks when the steps of a build are known.
pub trait Client: fmt::Debug + Send + Sync {
    /// What of this the client has.
    ///
    /// # Errors
    ///
    /// What the client says, when it does not answer.
    fn provide(&self, named: Named) -> Pin<Box<dyn Future<Output = Result<Provided, String>> + Send + '_>>;
}

/// What the steps of a build name, and its request does not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Named {
    /// Ids of secrets.
    pub secrets: Vec<String>,
    /// Ids of agents.
    pub agents: Vec<String>,
}

/// What a client has of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provided {
    /// Secrets by their ids.
    pub secrets: Secrets,
    /// Agents by their ids.
    pub agents: Agents,
}

impl Engine {
    /// The request with what the client of this engine has for its steps.
    pub(crate) async fn provided(
        &self,
        request: BuildRequest,
        access: Access,
        graph: &BuildGraph,
    ) -> Result<(BuildRequest, Access), BuildError> {
        let named = named_by_steps(graph);
        match self.provide(request, named).await? {
            (request, true) => {
                let access = Access::new(&request);
                Ok((request, access))
            }
            (request, false) => Ok((request, access)),
        }
    }

    /// The request with what the client of this engine has for its build context.
    pub(crate) async fn provided_for_context(
        &self,
        request: BuildRequest,
    ) -> Result<BuildRequest, BuildError> {
        let named = match &request.context {
            Context::Remote(RemoteFiles(Remote::Git(git))) => Named {
                secrets: secret_ids::of_repository(&git.source.remote),
                agents: git.source.is_ssh().then(|| AGENT.to_owned()).into_iter().collect(),
            },
            Context::Remote(RemoteFiles(Remote::Http(http))) => {
                Named { secrets: secret_ids::of_file(&http.url), agents: Vec::new() }
            }
            Context::Directory(_) | Context::Empty | Context::Archive(_) | Context::Client(_) => {
                return Ok(request);
            }
        };
        Ok(self.provide(request, named).await?.0)
    }

    /// Whether anything was asked for is the second value.
    async fn provide(
        &self,
        mut request: BuildRequest,
        mut named: Named,
    ) -> Result<(BuildRequest, bool), BuildError> {
        named.secrets.retain(|id| !request.secrets.contains_key(id));
        named.agents.retain(|id| !request.agents.contains_key(id));
        let Some(client) = self.client.as_ref().filter(|_| named != Named::default()) else {
            return Ok((request, false));
        };
        let provided = client.provide(named).await.map_err(|message| BuildError::Client { message })?;
        request.secrets.extend(provided.secrets);
        request.agents.extend(provided.agents);
        Ok((request, true))
    }
}

fn named_by_steps(graph: &BuildGraph) -> Named {
    let (mut secrets, mut agents) = (BTreeSet::new(), BTreeSet::new());
    for (_, vertex) in graph.vertices() {
        match &vertex.op {
            Op::Run(run) => {
                secrets.extend(run.secret_env.iter().map(|secret| secret.id.clone()));
                for mount in &run.mounts {
                    match &mount.source {
                        MountSource::Secret { id, .. } => drop(secrets.insert(id.clone())),
                        MountSource::Agent { id, .. } => drop(agents.insert(id.clone())),
                        MountSource::Input { .. } | MountSource::Tmpfs { .. } | MountSource::Cache { .. } => {
                        }
                    }
                }
            }
            Op::Git(source) => {
                secrets.extend(secret_ids::of_repository(&source.remote));
                if source.is_ssh() {
                    agents.insert(AGENT.to_owned());
                }
            }
            Op::Http(source) => secrets.extend(secret_ids::of_file(&source.url)),
            Op::Image(_) | Op::Scratch | Op::Context(_) | Op::File(_) => {}
        }
    }
    Named { secrets: secrets.into_iter().collect(), agents: agents.into_iter().collect() }
}
