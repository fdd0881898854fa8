//! Agents of the client that sign for steps: sockets here, whose connections go on at the client's.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use engine::{Agent, Agents};
use futures_util::stream;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;
use tonic::{Request, Status};

use super::Session;
use crate::proto::ssh::{BytesMessage, CheckAgentRequest, CheckAgentResponse};

pub(crate) const CHECK_AGENT: &str = "/moby.sshforward.v1.SSH/CheckAgent";
pub(crate) const FORWARD_AGENT: &str = "/moby.sshforward.v1.SSH/ForwardAgent";
/// Which agent a connection is for.
pub(crate) const ID: &str = "buildkit.ssh.id";
/// Bytes in one message, as in BuildKit.
const CHUNK_BYTES: usize = 32 << 10;

/// The agents that a build uses. Their sockets are there until this is dropped.
#[derive(Debug, Default)]
pub(crate) struct ForwardedAgents {
    directory: Option<tempfile::TempDir>,
    tasks: Vec<JoinHandle<()>>,
}

impl ForwardedAgents {
    /// Those of the agents that the client has.
    pub(crate) async fn open(&mut self, session: &Arc<Session>, ids: &[String]) -> Result<Agents, Status> {
        let mut agents = Agents::new();
        if !session.offers(FORWARD_AGENT) {
            return Ok(agents);
        }
        for id in ids {
            let request = CheckAgentRequest { id: id.clone() };
            match session.caller.unary::<_, CheckAgentResponse>(CHECK_AGENT, request).await {
                Ok(_) => {}
                Err(status) => {
                    tracing::debug!(%status, id, "the client has no such agent");
                    continue;
                }
            }
            let socket = self.listen(session, id).map_err(|error| Status::internal(error.to_string()))?;
            agents.insert(id.clone(), Agent::Socket(socket));
        }
        Ok(agents)
    }

    fn listen(&mut self, session: &Arc<Session>, id: &str) -> io::Result<PathBuf> {
        if self.directory.is_none() {
            // Nobody but us can look into it.
            self.directory = Some(tempfile::Builder::new().prefix("slipway-ssh-").tempdir()?);
        }
        let directory = self.directory.as_ref().expect("it was made above");
        let socket = directory.path().join(self.tasks.len().to_string());
        let listener = UnixListener::bind(&socket)?;
        let (session, id) = (session.clone(), id.to_owned());
        self.tasks.push(tokio::task::spawn_local(async move {
            while let Ok((connection, _)) = listener.accept().await {
                let (session, id) = (session.clone(), id.clone());
                tokio::task::spawn_local(async move {
                    if let Err(status) = forward(&session, &id, connection).await {
                        tracing::debug!(%status, "an agent of the client ended early");
                    }
                });
            }
        }));
        Ok(socket)
    }
}

impl Drop for ForwardedAgents {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn forward(session: &Session, id: &str, connection: UnixStream) -> Result<(), Status> {
    let (read, mut write) = connection.into_split();
    let mut request = Request::new(stream::unfold(read, next));
    let id = id.parse().map_err(|_| Status::invalid_argument("the name of an agent is ASCII"))?;
    request.metadata_mut().insert(ID, id);
    let mut answers = session.caller.bidi::<BytesMessage, BytesMessage>(FORWARD_AGENT, request).await?;
    while let Some(message) = answers.message().await? {
        if write.write_all(&message.data).await.is_err() {
            break;
        }
    }
    Ok(())
}

pub(crate) async fn next(mut read: OwnedReadHalf) -> Option<(BytesMessage, OwnedReadHalf)> {
    let mut data = vec![0; CHUNK_BYTES];
    match read.read(&mut data).await {
        Ok(count @ 1..) => {
            data.truncate(count);
            Some((BytesMessage { data }, read))
        }
        _ => None,
    }
}
