//! The calling side.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http::Uri;
use http::uri::PathAndQuery;
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::TokioIo;
use prost::Message;
use tokio::io::{AsyncRead, AsyncWrite};
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::{Request, Status, Streaming};
use tonic_prost::ProstCodec;
use tower_service::Service;

use super::raw::{Raw, decode, encode};
use super::{LocalExecutor, MESSAGE_BYTES_MAX, WINDOW_BYTES};

/// Whom we talk to at the other end of a connection: nobody looks at the name.
const ORIGIN: &str = "http://localhost";

/// Makes calls on a connection. Cheap to clone; calls can be made at the same time.
#[derive(Debug, Clone)]
pub(crate) struct Caller(SendRequest<Body>);

/// Begins to talk on a connection as a client. The second value drives the connection, and ends with it.
pub(crate) async fn client<T>(
    io: T,
) -> Result<(Caller, impl Future<Output = Result<(), hyper::Error>>), hyper::Error>
where
    T: AsyncRead + AsyncWrite + Unpin + 'static,
{
    let mut builder = Builder::new(LocalExecutor);
    builder.initial_stream_window_size(WINDOW_BYTES).initial_connection_window_size(WINDOW_BYTES);
    let (send, connection) = builder.handshake(TokioIo::new(io)).await?;
    Ok((Caller(send), connection))
}

impl Caller {
    fn grpc(&self) -> Grpc<Self> {
        Grpc::with_origin(self.clone(), Uri::from_static(ORIGIN))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX)
    }

    /// One message for one. `method` is `/package.Service/Method`.
    pub(crate) async fn unary<Q, A>(&self, method: &'static str, message: Q) -> Result<A, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        decode(self.exchange(method, encode(&message)).await?)
    }

    async fn exchange(&self, method: &'static str, message: Bytes) -> Result<Bytes, Status> {
        let mut grpc = self.grpc();
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let path = PathAndQuery::from_static(method);
        grpc.unary(Request::new(message), path, Raw).await.map(tonic::Response::into_inner)
    }

    /// Many messages for many.
    pub(crate) async fn bidi<Q, A>(
        &self,
        method: &'static str,
        messages: Request<impl Stream<Item = Q> + Send + 'static>,
    ) -> Result<Streaming<A>, Status>
    where
        Q: Message + Send + Sync + 'static,
        A: Message + Default + Send + Sync + 'static,
    {
        let mut grpc = self.grpc();
        grpc.ready().await.map_err(|error| Status::from_error(error.into()))?;
        let path = PathAndQuery::from_static(method);
        let codec = ProstCodec::<Q, A>::default();
        grpc.streaming(messages, path, codec).await.map(tonic::Response::into_inner)
    }
}

impl Service<http::Request<Body>> for Caller {
    type Response = http::Response<Incoming>;
    type Error = hyper::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, hyper::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), hyper::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<Body>) -> Self::Future {
        Box::pin(self.0.send_request(request))
    }
}
