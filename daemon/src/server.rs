//! Connections of clients, and which call goes where.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http2::Builder;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::DuplexStream;
use tonic::body::Body;
use tonic::{Request, Status};

use crate::builds::Build;
use crate::listen::{Arrived, Connection, Listener};
use crate::proto::{HealthCheckRequest, HealthCheckResponse, ServingStatus};
use crate::wire::{self, LocalExecutor, WINDOW_BYTES};
use crate::{Daemon, bridge, control};

/// How often a silent client is asked whether it is there.
const ALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// How long it may take to answer: a busy machine is slow, a lost one is gone.
const ALIVE_TIMEOUT: Duration = Duration::from_secs(60);
/// Calls of one client at the same time.
const CALLS_MAX: u32 = 1024;
/// What a call says about itself, in bytes.
const HEADERS_BYTES_MAX: u32 = 1 << 20;
/// How long a client may take to say who it is.
const HANDSHAKE_WAIT: Duration = Duration::from_secs(60);
/// How long to wait when the kernel does not give us a connection: no descriptors are left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves clients until the future is dropped.
pub(crate) async fn accept(daemon: Rc<Daemon>, listener: Listener) {
    loop {
        match listener.accept().await {
            Ok(arrived) => drop(tokio::task::spawn_local(welcome(daemon.clone(), arrived))),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Finds out who a client is where it has to say so, and serves it. Nobody else waits meanwhile.
async fn welcome(daemon: Rc<Daemon>, arrived: Arrived) {
    let (connection, tls) = match (arrived, &daemon.tls) {
        (Arrived::Local(connection), _) => return serve(daemon, Box::new(connection)).await,
        (Arrived::Remote(connection), None) => return serve(daemon, Box::new(connection)).await,
        (Arrived::Remote(connection), Some(tls)) => (connection, tls.clone()),
    };
    match tokio::time::timeout(HANDSHAKE_WAIT, tls.accept(connection)).await {
        Ok(Ok(connection)) => serve(daemon, Box::new(connection)).await,
        Ok(Err(error)) => tracing::warn!(%error, "a client was refused"),
        Err(_) => tracing::debug!("a client did not say who it is"),
    }
}

/// Serves one client. When it is gone, so are its calls.
async fn serve(daemon: Rc<Daemon>, connection: Box<dyn Connection>) {
    let service = service_fn(move |request| {
        let daemon = daemon.clone();
        async move { Ok::<_, Infallible>(answer(daemon, request).await) }
    });
    let mut builder = Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(ALIVE_INTERVAL)
        .keep_alive_timeout(ALIVE_TIMEOUT)
        .max_concurrent_streams(CALLS_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    if let Err(error) = builder.serve_connection(TokioIo::new(connection), service).await {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Serves a frontend that runs for a build: it has the calls of the gateway about this build, and no others.
pub(crate) async fn serve_frontend(daemon: Rc<Daemon>, frontend: Arc<Build>, connection: DuplexStream) {
    let service = service_fn(move |request| {
        let (daemon, frontend) = (daemon.clone(), frontend.clone());
        async move { Ok::<_, Infallible>(answer_frontend(daemon, frontend, request).await) }
    });
    let mut builder = Builder::new(LocalExecutor);
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(CALLS_MAX)
        .max_header_list_size(HEADERS_BYTES_MAX)
        .initial_stream_window_size(WINDOW_BYTES)
        .initial_connection_window_size(WINDOW_BYTES);
    if let Err(error) = builder.serve_connection(TokioIo::new(connection), service).await {
        tracing::debug!(%error, "the connection of a frontend ended early");
    }
}

async fn answer_frontend(
    daemon: Rc<Daemon>,
    frontend: Arc<Build>,
    request: http::Request<Incoming>,
) -> http::Response<Body> {
    let path = request.uri().path().to_owned();
    tracing::debug!(path, "call of a frontend");
    match path.split_once('/').and_then(|(_, path)| path.split_once('/')) {
        Some(("moby.buildkit.v1.frontend.LLBBridge", method)) => {
            bridge::answer_for(daemon, frontend, method, request).await
        }
        Some(("grpc.health.v1.Health", "Check")) => wire::unary(request, healthy).await,
        _ => unimplemented(&path),
    }
}

/// Every call that there is.
async fn answer(daemon: Rc<Daemon>, request: http::Request<Incoming>) -> http::Response<Body> {
    let path = request.uri().path().to_owned();
    tracing::debug!(path, "call");
    match path.split_once('/').and_then(|(_, path)| path.split_once('/')) {
        Some(("moby.buildkit.v1.Control", method)) => control::answer(daemon, method, request).await,
        Some(("moby.buildkit.v1.frontend.LLBBridge", method)) => {
            bridge::answer(daemon, method, request).await
        }
        Some(("grpc.health.v1.Health", "Check")) => wire::unary(request, healthy).await,
        _ => unimplemented(&path),
    }
}

/// Clients go on without what we do not have.
pub(crate) fn unimplemented(path: &str) -> http::Response<Body> {
    Status::unimplemented(format!("unknown method {path}")).into_http()
}

async fn healthy(_: Request<HealthCheckRequest>) -> Result<HealthCheckResponse, Status> {
    Ok(HealthCheckResponse { status: ServingStatus::Serving.into() })
}
