//! The serving side of a call.

use std::future::Future;
use std::pin::Pin;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use hyper::body::Incoming;
use prost::Message;
use tonic::body::Body;
use tonic::server::{Grpc, ServerStreamingService, StreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use super::MESSAGE_BYTES_MAX;
use super::raw::{Raw, decode, encode};

/// The messages that answer a call.
pub(crate) type Replies<A> = Pin<Box<dyn Stream<Item = Result<A, Status>> + Send>>;

type Local<T> = Pin<Box<dyn Future<Output = T>>>;

/// Answers one message of any kind.
type Handler<'a, A> = Box<dyn FnOnce(Request<Bytes>) -> Local<Result<A, Status>> + 'a>;

/// A handler that is called once.
struct Once<H>(Option<H>);

impl<H> Once<H> {
    fn take(&mut self) -> H {
        self.0.take().expect("a request is handled once")
    }
}

struct UnaryOnce<H>(Once<H>);
struct StreamOnce<H>(Once<H>);
struct BidiOnce<H>(Once<H>);

impl<Q, A, H, F> UnaryService<Q> for UnaryOnce<H>
where
    H: FnOnce(Request<Q>) -> F,
    F: Future<Output = Result<A, Status>> + 'static,
    A: 'static,
{
    type Response = A;
    type Future = Local<Result<Response<A>, Status>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let answered = self.0.take()(request);
        Box::pin(async move { answered.await.map(Response::new) })
    }
}

impl<Q, A, H, F> ServerStreamingService<Q> for StreamOnce<H>
where
    H: FnOnce(Request<Q>) -> F,
    F: Future<Output = Result<Replies<A>, Status>> + 'static,
    A: 'static,
{
    type Response = A;
    type ResponseStream = Replies<A>;
    type Future = Local<Result<Response<Replies<A>>, Status>>;

    fn call(&mut self, request: Request<Q>) -> Self::Future {
        let answered = self.0.take()(request);
        Box::pin(async move { answered.await.map(Response::new) })
    }
}

impl<Q, A, H, F> StreamingService<Q> for BidiOnce<H>
where
    H: FnOnce(Request<Streaming<Q>>) -> F,
    F: Future<Output = Result<Replies<A>, Status>> + 'static,
    A: 'static,
{
    type Response = A;
    type ResponseStream = Replies<A>;
    type Future = Local<Result<Response<Replies<A>>, Status>>;

    fn call(&mut self, request: Request<Streaming<Q>>) -> Self::Future {
        let answered = self.0.take()(request);
        Box::pin(async move { answered.await.map(Response::new) })
    }
}

fn grpc<A: Message + Send + 'static, Q: Message + Default + Send + 'static>() -> Grpc<ProstCodec<A, Q>> {
    Grpc::new(ProstCodec::default())
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

fn raw() -> Grpc<Raw> {
    Grpc::new(Raw).max_decoding_message_size(MESSAGE_BYTES_MAX).max_encoding_message_size(MESSAGE_BYTES_MAX)
}

/// Answers one message with one.
pub(crate) async fn unary<Q, A, F>(
    request: http::Request<Incoming>,
    handler: impl FnOnce(Request<Q>) -> F,
) -> http::Response<Body>
where
    Q: Message + Default + Send + 'static,
    A: Message + Send + 'static,
    F: Future<Output = Result<A, Status>> + 'static,
{
    let handler = |request: Request<Bytes>| -> Local<Result<Bytes, Status>> {
        match read::<Q>(request) {
            Ok(request) => {
                let answered = handler(request);
                Box::pin(async move { answered.await.map(|answer| encode(&answer)) })
            }
            Err(status) => Box::pin(async move { Err(status) }),
        }
    };
    unary_raw(request, Box::new(handler)).await
}

async fn unary_raw(request: http::Request<Incoming>, handler: Handler<'_, Bytes>) -> http::Response<Body> {
    raw().unary(UnaryOnce(Once(Some(handler))), request).await
}

/// Answers one message with many.
pub(crate) async fn stream<Q, A, F>(
    request: http::Request<Incoming>,
    handler: impl FnOnce(Request<Q>) -> F,
) -> http::Response<Body>
where
    Q: Message + Default + Send + 'static,
    A: Message + Send + 'static,
    F: Future<Output = Result<Replies<A>, Status>> + 'static,
{
    let handler = |request: Request<Bytes>| -> Local<Result<Replies<Bytes>, Status>> {
        match read::<Q>(request) {
            Ok(request) => {
                let answered = handler(request);
                Box::pin(async move { answered.await.map(written) })
            }
            Err(status) => Box::pin(async move { Err(status) }),
        }
    };
    stream_raw(request, Box::new(handler)).await
}

async fn stream_raw(
    request: http::Request<Incoming>,
    handler: Handler<'_, Replies<Bytes>>,
) -> http::Response<Body> {
    raw().server_streaming(StreamOnce(Once(Some(handler))), request).await
}

fn read<Q: Message + Default>(request: Request<Bytes>) -> Result<Request<Q>, Status> {
    let (metadata, extensions, bytes) = request.into_parts();
    Ok(Request::from_parts(metadata, extensions, decode(bytes)?))
}

fn written<A: Message + 'static>(replies: Replies<A>) -> Replies<Bytes> {
    Box::pin(replies.map(|reply| reply.map(|message| encode(&message))))
}

/// Answers many messages with many.
pub(crate) async fn bidi<Q, A, F>(
    request: http::Request<Incoming>,
    handler: impl FnOnce(Request<Streaming<Q>>) -> F + Send,
) -> http::Response<Body>
where
    Q: Message + Default + Send + 'static,
    A: Message + Send + 'static,
    F: Future<Output = Result<Replies<A>, Status>> + 'static,
{
    grpc::<A, Q>().streaming(BidiOnce(Once(Some(handler))), request).await
}
