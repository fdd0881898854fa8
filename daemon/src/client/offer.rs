//! What we offer to a daemon that builds for us: files, secrets, agents, credentials, and places for results.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use engine::registries::{Asked, Credentials};
use engine::{OfferedAgents, Secrets};
use futures_util::{StreamExt as _, stream};
use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::AsyncWriteExt as _;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::metadata::MetadataMap;
use tonic::{Request, Status, Streaming};

use super::choose::{Chosen, values};
use super::stores::Stores;
use super::take::{self, Target};
use crate::content;
use crate::proto::filesync::{BytesMessage, CredentialsRequest, CredentialsResponse};
use crate::proto::secrets::{GetSecretRequest, GetSecretResponse};
use crate::proto::ssh::{CheckAgentRequest, CheckAgentResponse};
use crate::proto::{
    HealthCheckRequest, HealthCheckResponse, Packet, PacketType, ServingStatus, control, ssh,
};
use crate::server::unimplemented;
use crate::session::agents::{CHECK_AGENT, FORWARD_AGENT, ID as AGENT_ID, next};
use crate::session::auth::{CREDENTIALS, HUB, HUB_HOST};
use crate::session::kept::open_root;
use crate::session::output::{DIFF_COPY as SEND, EXPORTER_ID};
use crate::session::packets;
use crate::session::receive::Others;
use crate::session::secrets::GET_SECRET;
use crate::session::send_tree::send_tree;
use crate::session::{ID, METHOD, SHARED_KEY, files, tunnel};
use crate::wire::{self, Caller, LocalExecutor, Replies, WINDOW_BYTES};

const SESSION: &str = "/moby.buildkit.v1.Control/Session";
const HEALTH: &str = "/grpc.health.v1.Health/Check";
/// By which Docker Hub's credentials are known in Docker's file.
const HUB_HOSTS: [&str; 2] = [HUB_HOST, "index.docker.io"];

/// All of it.
pub(super) struct Offer {
    /// Of the session.
    pub(super) id: String,
    /// Stays the same between builds of the same directories, so that only what is different is sent.
    pub(super) shared_key: String,
    pub(super) directories: BTreeMap<String, PathBuf>,
    pub(super) secrets: Secrets,
    pub(super) agents: OfferedAgents,
    pub(super) credentials: Credentials,
    /// By the numbers of the outputs.
    pub(super) targets: Vec<Option<Target>>,
    pub(super) stores: Stores,
}

impl Offer {
    /// What is said of the session.
    fn metadata(&self) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        let text = |text: &str| text.parse().expect("it is made of digits");
        metadata.insert(ID, text(&self.id));
        metadata.insert(SHARED_KEY, text(&self.shared_key));
        for method in [files::DIFF_COPY, SEND, CREDENTIALS, GET_SECRET, CHECK_AGENT, FORWARD_AGENT, HEALTH] {
            metadata.append(METHOD, text(method));
        }
        if !self.stores.0.is_empty() {
            for method in [content::INFO, content::READ, content::WRITE] {
                metadata.append(METHOD, text(method));
            }
        }
        metadata
    }

    /// Serves a daemon until it ends the session.
    pub(super) async fn serve(self: Arc<Self>, caller: Caller) -> Result<(), Status> {
        let (ours, theirs) = tokio::io::duplex(tunnel::PIPE_BYTES);
        let (read, mut write) = tokio::io::split(theirs);
        let leaving = tunnel::chunks(read).map(|data| control::BytesMessage { data });
        let mut request = Request::new(leaving);
        *request.metadata_mut() = self.metadata();
        let tunnel = async {
            let mut arriving = caller.bidi::<_, control::BytesMessage>(SESSION, request).await?;
            while let Some(message) = arriving.message().await? {
                if write.write_all(&message.data).await.is_err() {
                    break;
                }
            }
            Ok::<_, Status>(())
        };
        let service = service_fn(move |request| {
            let offer = self.clone();
            async move { Ok::<_, Infallible>(offer.answer(request).await) }
        });
        let mut builder = Builder::new(LocalExecutor);
        builder.initial_stream_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
        let served = builder.serve_connection(TokioIo::new(ours), service);
        tokio::select! {
            ended = tunnel => ended,
            served = served => served.map_err(|error| Status::unknown(error.to_string())),
        }
    }

    /// Every call that there is.
    async fn answer(self: Arc<Self>, request: http::Request<Incoming>) -> http::Response<Body> {
        let path = request.uri().path().to_owned();
        match path.as_str() {
            files::DIFF_COPY => wire::bidi(request, |request| self.send(request)).await,
            SEND => self.take(request).await,
            CREDENTIALS => wire::unary(request, |request| self.credentials(request)).await,
            GET_SECRET => wire::unary(request, |request| self.secret(request)).await,
            CHECK_AGENT => wire::unary(request, |request| self.check_agent(request)).await,
            FORWARD_AGENT => wire::bidi(request, |request| self.agent(request)).await,
            content::INFO => {
                wire::unary(request, |request| async move { self.stores.info(request).await }).await
            }
            content::READ => {
                wire::stream(request, |request| async move { self.stores.read(request).await }).await
            }
            content::WRITE => {
                wire::bidi(request, |request| async move { self.stores.write(request).await }).await
            }
            HEALTH => wire::unary(request, |_: Request<HealthCheckRequest>| healthy()).await,
            _ => unimplemented(&path),
        }
    }

    /// Sends what is asked for of a directory.
    async fn send(self: Arc<Self>, request: Request<Streaming<Packet>>) -> Result<Replies<Packet>, Status> {
        let name = values(request.metadata(), "dir-name").into_iter().next().unwrap_or_default();
        let unknown = || Status::not_found(format!("no access allowed to dir `{name}`"));
        let root = self.directories.get(&name).ok_or_else(unknown)?.clone();
        let asked = request.metadata().clone();
        let (send, sent) = mpsc::channel(packets::WAITING_MAX);
        let (ask, mut arriving) = mpsc::unbounded_channel();
        let mut packets = request.into_inner();
        tokio::task::spawn_local(async move {
            while let Ok(Some(packet)) = packets.message().await {
                if ask.send(packet).is_err() {
                    break;
                }
            }
        });
        tokio::task::spawn_blocking(move || {
            let done =
                Chosen::new(&root, &asked).map_err(|status| status.message().to_owned()).and_then(|chosen| {
                    let sent = open_root(&root).and_then(|top| {
                        send_tree(std::os::fd::AsFd::as_fd(&top), &chosen, &send, &mut arriving)
                    });
                    sent.map_err(|error| format!("`{}`: {error}", root.display()))
                });
            if let Err(message) = done {
                let packet = Packet {
                    r#type: PacketType::PacketErr.into(),
                    data: message.into_bytes(),
                    ..Packet::default()
                };
                // Who no longer listens knows why.
                let _ = send.blocking_send(vec![packet]);
            }
        });
        Ok(Box::pin(packets::leaving(sent).map(Ok)))
    }

    /// Takes a result.
    async fn take(self: Arc<Self>, request: http::Request<Incoming>) -> http::Response<Body> {
        let id =
            request.headers().get(EXPORTER_ID).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
        match self.targets.get(id.unwrap_or(0)).cloned().flatten() {
            None => Status::not_found("no such output").into_http(),
            Some(Target::Directory { path, is_replaced }) => {
                let others = if is_replaced { Others::Removed } else { Others::Kept };
                wire::bidi(request, move |request: Request<Streaming<Packet>>| async move {
                    let (ask, asked) = mpsc::unbounded_channel();
                    let taken =
                        tokio::task::spawn_local(take::files(path, others, request.into_inner(), ask));
                    // The call ends when all is there, or with what went wrong.
                    let asked =
                        stream::unfold(asked, |mut asked| async { Some((Ok(asked.recv().await?), asked)) });
                    let (tell, told) = tokio::sync::oneshot::channel();
                    tokio::task::spawn_local(
                        async move { drop(tell.send(files::joined(taken).await.flatten())) },
                    );
                    let end = stream::once(told).filter_map(|ended| async {
                        ended.unwrap_or_else(|_| Err(Status::internal("it was not told"))).err().map(Err)
                    });
                    Ok::<Replies<Packet>, _>(Box::pin(asked.chain(end)))
                })
                .await
            }
            Some(target) => {
                wire::bidi(request, move |request: Request<Streaming<BytesMessage>>| async move {
                    take::bytes(&target, request.into_inner()).await?;
                    Ok::<Replies<BytesMessage>, _>(Box::pin(stream::empty()))
                })
                .await
            }
        }
    }

    async fn credentials(
        self: Arc<Self>,
        request: Request<CredentialsRequest>,
    ) -> Result<CredentialsResponse, Status> {
        let host = request.into_inner().host;
        let domain = if HUB_HOSTS.contains(&host.as_str()) { HUB } else { &host };
        let known =
            self.credentials.known(domain).await.map_err(|error| Status::unknown(error.to_string()))?;
        Ok(match known {
            None => CredentialsResponse::default(),
            Some(Asked::Password { username, password }) => {
                CredentialsResponse { username, secret: password.expose().to_owned() }
            }
            Some(Asked::IdentityToken(token)) => {
                CredentialsResponse { username: String::new(), secret: token.expose().to_owned() }
            }
        })
    }

    async fn secret(
        self: Arc<Self>,
        request: Request<GetSecretRequest>,
    ) -> Result<GetSecretResponse, Status> {
        let id = request.into_inner().id;
        let secret = self.secrets.get(&id);
        let secret = secret.ok_or_else(|| Status::not_found(format!("secret {id} not found")))?;
        Ok(GetSecretResponse { data: secret.bytes().to_vec() })
    }

    async fn socket(&self, id: &str) -> Result<PathBuf, Status> {
        let id = if id.is_empty() { "default" } else { id };
        let found = self.agents.socket(id).await.map_err(|error| Status::unknown(error.to_string()))?;
        found.ok_or_else(|| Status::not_found(format!("unset ssh forward key {id}")))
    }

    async fn check_agent(
        self: Arc<Self>,
        request: Request<CheckAgentRequest>,
    ) -> Result<CheckAgentResponse, Status> {
        self.socket(&request.into_inner().id).await.map(|_| CheckAgentResponse {})
    }

    /// Connects with an agent, until either side ends it.
    async fn agent(
        self: Arc<Self>,
        request: Request<Streaming<ssh::BytesMessage>>,
    ) -> Result<Replies<ssh::BytesMessage>, Status> {
        let id = request.metadata().get(AGENT_ID).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let failed = |error: io::Error| Status::unknown(error.to_string());
        let connection = UnixStream::connect(self.socket(id).await?).await.map_err(failed)?;
        let (read, mut write) = connection.into_split();
        let mut arriving = request.into_inner();
        tokio::task::spawn_local(async move {
            while let Ok(Some(message)) = arriving.message().await {
                if write.write_all(&message.data).await.is_err() {
                    break;
                }
            }
        });
        Ok(Box::pin(stream::unfold(read, next).map(Ok)))
    }
}

async fn healthy() -> Result<HealthCheckResponse, Status> {
    Ok(HealthCheckResponse { status: ServingStatus::Serving.into() })
}
